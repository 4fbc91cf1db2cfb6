// Clients that read and write a feature `item` of one or more nodes at every level, and straight at the
// database, while a test hurts what lies between them. Everything they see goes to a Recorder.
//
// Who writes what
//   - "item:any<N>": every writer, through each node and by SQL; never erased.
//   - "item:<writer>-<N>": one writer only, which also erases. The SQL writer changes several of its rows in
//     one transaction.
//   - "item:calm": nobody; it is there from the beginning, and shows how a node stands.
// Some keys change thirty times as often as others: a lost invalidation of a key that changes all the time is
// not seen, one of a calm key is.
// Thread safety: the owner's thread; clients have threads of their own.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "tests/support/recorder.h"

namespace candor::testing {

// A connection straight to the database, for a writer of its own.
class DirectWriter {
 public:
  enum class Outcome : std::uint8_t { kOk, kRefused, kUnknown };
  struct Row {
    std::string id;
    std::uint64_t version = 0;  // 0: erase it
  };
  virtual ~DirectWriter() = default;
  // All of them in one transaction.
  // `more`: SQL of the same transaction, before them.
  [[nodiscard]] virtual Outcome write(const std::vector<Row>& rows, const std::string& more) = 0;
};

struct WorkloadOptions {
  std::uint64_t seed = 1;
  int keys_of_any = 24, keys_of_each = 16;
  int readers_of_each = 2;
  Duration read_pace = 2ms, write_pace = 12ms, travel_pace = 20ms;
  Duration patience = std::chrono::seconds(15);  // of a client for an answer
};

class Workload {
 public:
  Workload(Recorder* recorder, std::vector<Candord*> nodes,
           std::function<std::unique_ptr<DirectWriter>()> connect, const WorkloadOptions& options);
  ~Workload();
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  void start();
  void stop_writers();
  void start_writers();  // again
  void stop();           // everybody

  [[nodiscard]] std::vector<std::string> keys_with_extra() const;
  // Keys "item:extra-<N>" that are written by write_in_one_transaction() only, straight at the database; the
  // first ten are read like all others.
  [[nodiscard]] std::vector<std::string> extra_keys(int count);
  // `more`: SQL of the same transaction, before them.
  void write_in_one_transaction(const std::vector<std::string>& keys, const std::string& more = "");

  // Names with the feature, without "calm".
  [[nodiscard]] const std::vector<std::string>& keys() const { return keys_; }
  // Of the feature `item`, what stands behind the colon.
  [[nodiscard]] static std::string id_of(const std::string& key) { return key.substr(5); }

 private:
  using Keys = std::vector<std::string>;
  void read_for_ever(Candord* node, std::uint64_t seed);
  void write_for_ever(Candord* node, const Keys& own, std::uint64_t seed);
  void write_directly_for_ever(const Keys& own, std::uint64_t seed);
  void write_directly(DirectWriter& writer, const Keys& chosen, bool erases, const std::string& more = "");
  void travel_for_ever(const Keys& own, std::uint64_t seed);
  [[nodiscard]] Keys make_keys(const std::string& owner, int count);
  void pause(Duration mean, Random& random) const;

  Recorder* recorder_;
  std::vector<Candord*> nodes_;
  std::function<std::unique_ptr<DirectWriter>()> connect_;
  WorkloadOptions options_;
  Keys any_, keys_, sql_, traveller_;
  std::vector<Keys> own_;               // of each node's writer
  std::atomic<std::size_t> extra_ = 0;  // of the extra keys, how many readers read
  std::uint64_t seed_ = 0;
  std::atomic<bool> writing_ = true, reading_ = true;
  std::vector<std::thread> writers_, readers_;
};

}  // namespace candor::testing
