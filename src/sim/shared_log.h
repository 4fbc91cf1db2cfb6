// A model of the server behind the region stream, and a node's client of it, by the contract of
// bus/region_stream.h.
//
// The log is durable and numbered; what it pushes to its subscribers may be lost, doubled and overtaken, as
// on a subscription without acknowledgements (JetStream's ordered consumer). The client puts it in order,
// fetches what it missed, and tells its reader of what is gone for ever: trimmed, or of a log that was made
// anew.
//
// Thread safety: none; the server is a process of the world, the client belongs to its node's.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/random.h"
#include "bus/region_stream.h"
#include "sim/network.h"

namespace candor::sim {

using SharedMessage = std::shared_ptr<const StreamMessage>;

class SharedLog {
 public:
  struct Numbered {
    std::uint64_t number = 0;
    SharedMessage message;
  };
  struct Page {
    std::uint64_t epoch = 0;
    std::uint64_t first = 1;  // the oldest number that is kept
    std::uint64_t tail = 0;
    std::vector<Numbered> messages;
  };
  // What a subscriber is pushed; null message: only where the log ends.
  using Push = std::function<void(std::uint64_t epoch, std::uint64_t tail, Numbered)>;

  SharedLog(World& world, Network& network, Process& process);
  SharedLog(const SharedLog&) = delete;
  SharedLog& operator=(const SharedLog&) = delete;

  [[nodiscard]] PlaceId place() const { return place_; }
  [[nodiscard]] Process& process() { return process_; }

  // ---- commands; on its process ----
  std::uint64_t append(SharedMessage message);
  [[nodiscard]] Page fetch(std::uint64_t after, std::size_t count) const;
  Page subscribe(PlaceId subscriber, std::shared_ptr<Push> push);

  // ---- faults ----
  void trim(std::size_t keep);
  // Deleted and made anew: another epoch, numbers from 1.
  void make_anew();

 private:
  void push(const Numbered& message);
  void tick();

  World& world_;
  Network& network_;
  Process& process_;
  PlaceId place_;
  Random random_;
  std::uint64_t epoch_;
  std::uint64_t last_ = 0;
  std::deque<SharedMessage> kept_;
  struct Subscriber {
    PlaceId place;
    std::uint32_t life;
    std::shared_ptr<Push> push;
  };
  std::vector<Subscriber> subscribers_;
};

class SharedLogClient final : public RegionStream {
 public:
  SharedLogClient(Network& network, PlaceId node, SharedLog& log);
  ~SharedLogClient() override;

  void read(std::optional<SequenceNumber> after, StreamReader* reader) override;
  Task<Result<SequenceNumber>> append(StreamMessage message) override;
  Task<Result<SequenceNumber>> tail() override;
  [[nodiscard]] StreamStatus status() const override { return status_; }
  [[nodiscard]] std::string describe() const override { return "simulated"; }

 private:
  // What outlives the client: pushes under way and answers look here first.
  struct Life {
    SharedLogClient* client;
  };
  void subscribe();
  void on_push(std::uint64_t epoch, std::uint64_t tail, SharedLog::Numbered message);
  void on_page(SharedLog::Page page);
  void begin_epoch(std::uint64_t epoch);
  void take(SharedLog::Numbered message);
  void drain();
  void fetch_missing();
  void watch();

  Network& network_;
  PlaceId node_;
  Process& process_;
  SharedLog& log_;
  StreamReader* reader_ = nullptr;
  bool begun_ = false;  // it is known where to begin
  bool fetching_ = false;
  std::uint64_t tail_ = 0;
  MonoTime heard_{0};
  std::map<std::uint64_t, SharedMessage> early_;
  StreamStatus status_;
  std::shared_ptr<Life> life_;
};

}  // namespace candor::sim
