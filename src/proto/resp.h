// RESP, the Redis protocol, versions 2 and 3: bytes to messages and back. No sockets, no clock, no global
// state. The server and our own Redis client (tier/l2, origin) share this codec.
//
//   request_parser.h   what clients send us
//   reply_writer.h     what we answer
//   command_writer.h   what we send as a client
//   reply_parser.h     what a server answers us
#pragma once

#include "proto/command_writer.h"  // IWYU pragma: export
#include "proto/reply_parser.h"    // IWYU pragma: export
#include "proto/reply_writer.h"    // IWYU pragma: export
#include "proto/request_parser.h"  // IWYU pragma: export
