// Connections that a loop opens: the real half of Transport::connect().
#pragma once

#include <memory>

#include "base/transport.h"

namespace candor {

class Loop;

// See Transport::connect(). Resolves the name, tries its addresses in order, shakes hands when Endpoint::tls;
// `timeout` bounds all of it together. Bytes written before on_connected() leave first.
[[nodiscard]] std::unique_ptr<Stream> begin_connect(Loop& loop, const Endpoint& endpoint,
                                                    StreamHandler* handler, Duration timeout);

}  // namespace candor
