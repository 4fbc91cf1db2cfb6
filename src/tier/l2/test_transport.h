// A Transport for tests: nothing connects, arrives or closes until the test says so.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/transport.h"

namespace candor {

class TestTransport final : public Transport {
 public:
  // One connection, as the far end sees it. Outlives its Stream.
  struct Line {
    Endpoint endpoint;
    StreamHandler* handler = nullptr;  // null: our side let go
    std::string sent;                  // what our side wrote and take() has not taken
    int writes = 0;
    std::size_t unsent = 0;  // what unsent_bytes() says
    bool over = false;

    void accept() const {
      if (handler != nullptr) handler->on_connected();
    }
    void reply(std::string_view bytes) const {
      if (handler != nullptr && !over) handler->on_data(bytes);
    }
    void close(const std::string& reason) {
      over = true;
      if (handler != nullptr) handler->on_closed(reason);
    }
    [[nodiscard]] std::string take() { return std::exchange(sent, {}); }
  };

  [[nodiscard]] std::unique_ptr<Stream> connect(const Endpoint& endpoint, StreamHandler* handler,
                                                Duration) override {
    lines.push_back(std::make_shared<Line>());
    lines.back()->endpoint = endpoint;
    lines.back()->handler = handler;
    return std::make_unique<Held>(lines.back());
  }
  [[nodiscard]] std::unique_ptr<FdWatch> watch(int, FdEvents, std::function<void(FdEvents)>) override {
    CANDOR_ASSERT(false);
    return nullptr;
  }
  [[nodiscard]] Line& last() { return *lines.back(); }

  std::vector<std::shared_ptr<Line>> lines;

 private:
  class Held final : public Stream {
   public:
    explicit Held(std::shared_ptr<Line> line) : line_(std::move(line)) {}
    ~Held() override { line_->handler = nullptr; }
    void write(std::string_view bytes) override {
      line_->sent += bytes;
      ++line_->writes;
    }
    [[nodiscard]] std::size_t unsent_bytes() const override { return line_->unsent; }

   private:
    std::shared_ptr<Line> line_;
  };
};

}  // namespace candor
