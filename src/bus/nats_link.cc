#include "bus/nats_link.h"

#include <fmt/format.h>
#include <nats/nats.h>

#include <deque>
#include <utility>

#include "base/mutex.h"
#include "base/random.h"

namespace candor::nats {
namespace {

struct OptionsDeleter {
  void operator()(natsOptions* options) const { natsOptions_Destroy(options); }
};
struct MessageDeleter {
  void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
};

std::string header(natsMsg* message, const char* name) {
  const char* value = nullptr;
  return natsMsgHeader_Get(message, name, &value) == NATS_OK && value != nullptr ? value : "";
}

std::string text_of(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

// One connection's life. The executor sees `link_`; libnats's threads and the pool see what the mutex guards.
class Link::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Link* link, std::string inbox)
      : link_(link),
        executor_(link->executor_),
        pool_(link->pool_),
        options_(link->options_),
        inbox_(std::move(inbox)) {}

  // ---- on the executor ----

  void open() {
    on_line([](Session& self) { self.open_now(); });
  }
  void send(std::vector<Outgoing> batch) {
    on_line([batch = std::move(batch)](Session& self) { self.send_now(batch); });
  }
  void listen(std::string subject) {
    on_line([subject = std::move(subject)](Session& self) {
      natsSubscription_Destroy(std::exchange(self.delivery_, nullptr));
      if (self.connection_ != nullptr) (void)self.subscribe_to(subject, &self.delivery_);
    });
  }
  // Nothing arrives at the link from now on; the connection goes in its own time.
  void forget() {
    link_ = nullptr;
    {
      const MutexLock lock(mutex_);
      forgotten_ = true;
      box_.clear();
    }
    on_line([](Session& self) { self.close_now(); });
  }
  [[nodiscard]] const std::string& inbox() const { return inbox_; }

 private:
  using Step = std::move_only_function<void(Session&)>;

  // Runs `step` on the pool, after those before it.
  void on_line(Step step) {
    {
      const MutexLock lock(mutex_);
      line_.push_back(std::move(step));
      if (std::exchange(line_runs_, true)) return;
    }
    pool_->run([self = shared_from_this()] { self->run_line(); });
  }
  void run_line() {
    for (;;) {
      Step step;
      {
        const MutexLock lock(mutex_);
        if (line_.empty()) {
          line_runs_ = false;
          return;
        }
        step = std::move(line_.front());
        line_.pop_front();
      }
      step(*this);
    }
  }
  // Runs `work` at home if the link still wants to hear.
  void at_home(std::move_only_function<void(Link&, Session&)> work) {
    const MutexLock lock(mutex_);
    if (forgotten_) return;
    executor_->post([self = shared_from_this(), work = std::move(work)]() mutable {
      if (self->link_ != nullptr) work(*self->link_, *self);
    });
  }

  // ---- on the pool ----

  void open_now() {
    natsOptions* raw = nullptr;
    natsStatus status = natsOptions_Create(&raw);
    const std::unique_ptr<natsOptions, OptionsDeleter> options(raw);
    if (status == NATS_OK) status = fill(raw);
    // libnats keeps the pointer until the closed callback: it holds this session alive as long.
    auto* const held = new std::shared_ptr<Session>(shared_from_this());
    if (status == NATS_OK) status = natsOptions_SetClosedCB(raw, &Session::on_closed, held);
    if (status == NATS_OK) status = natsConnection_Connect(&connection_, raw);
    if (status != NATS_OK) {
      connection_ = nullptr;
      delete held;
      return at_home([reason = text_of(natsStatus_GetText(status))](Link& link, Session& self) {
        link.ended(&self, reason);
      });
    }
    subscribe_now();
  }

  natsStatus fill(natsOptions* options) const {
    const Address& address = options_.address;
    std::vector<std::string> urls;
    for (const std::string& host : address.hosts) {
      urls.push_back((address.tls ? "tls://" : "nats://") + host);
    }
    std::vector<const char*> servers;
    for (const std::string& url : urls) servers.push_back(url.c_str());
    const auto ms = [](Duration d) { return d.count() / 1'000'000; };
    natsStatus s = natsOptions_SetServers(options, servers.data(), static_cast<int>(servers.size()));
    if (s == NATS_OK && !address.user.empty()) {
      s = natsOptions_SetUserInfo(options, address.user.c_str(), address.password.c_str());
    }
    if (s == NATS_OK && !address.token.empty()) s = natsOptions_SetToken(options, address.token.c_str());
    if (s == NATS_OK && address.tls) s = natsOptions_SetSecure(options, true);
    if (s == NATS_OK) s = natsOptions_SetName(options, options_.name.c_str());
    if (s == NATS_OK) s = natsOptions_SetTimeout(options, ms(options_.connect_timeout));
    if (s == NATS_OK) s = natsOptions_SetPingInterval(options, ms(options_.ping_period));
    if (s == NATS_OK) s = natsOptions_SetMaxPingsOut(options, 2);
    if (s == NATS_OK) s = natsOptions_SetWriteDeadline(options, ms(options_.connect_timeout));
    // Each message leaves at once; libnats's own flusher would wait up to a millisecond for more.
    if (s == NATS_OK) s = natsOptions_SetSendAsap(options, true);
    // We make new connections ourselves: libnats would keep what was published meanwhile and send it later.
    if (s == NATS_OK) s = natsOptions_SetAllowReconnect(options, false);
    return s;
  }

  natsStatus subscribe_to(const std::string& subject, natsSubscription** subscription) {
    // libnats keeps the pointer until the subscription's last callback has returned.
    auto* const held = new std::shared_ptr<Session>(shared_from_this());
    const natsStatus status =
        natsConnection_Subscribe(subscription, connection_, subject.c_str(), &Session::on_message, this);
    if (status != NATS_OK ||
        natsSubscription_SetOnCompleteCB(*subscription, &Session::on_complete, held) != NATS_OK) {
      delete held;
      return status;
    }
    return natsSubscription_SetPendingLimits(*subscription, -1, -1);  // our own box is the limit
  }

  void subscribe_now() {
    natsStatus status = subscribe_to(inbox_ + ".>", &subscription_);
    if (status == NATS_OK) {
      status = natsConnection_FlushTimeout(connection_, options_.connect_timeout.count() / 1'000'000);
    }
    if (status != NATS_OK) {
      return at_home([reason = text_of(natsStatus_GetText(status))](Link& link, Session& self) {
        link.ended(&self, reason);
      });
    }
    at_home([](Link& link, Session& self) {
      if (link.session_.get() != &self) return;
      link.connected_ = true;
      link.backoff_.reset();
      link.handler_->on_link(true, "");
    });
  }

  void send_now(const std::vector<Outgoing>& batch) {
    if (connection_ == nullptr) return;
    for (const Outgoing& m : batch) {
      const std::string reply = m.reply.empty() ? "" : inbox_ + "." + m.reply;
      // An error means that the connection is ending; what was not answered times out, as "unknown".
      const natsStatus status =
          reply.empty() ? natsConnection_Publish(connection_, m.subject.c_str(), m.data.data(),
                                                 static_cast<int>(m.data.size()))
                        : natsConnection_PublishRequest(connection_, m.subject.c_str(), reply.c_str(),
                                                        m.data.data(), static_cast<int>(m.data.size()));
      if (status == NATS_CONNECTION_CLOSED) return;
    }
  }

  void close_now() {
    natsSubscription_Destroy(std::exchange(delivery_, nullptr));
    natsSubscription_Destroy(std::exchange(subscription_, nullptr));
    natsConnection_Destroy(std::exchange(connection_, nullptr));
  }

  // ---- on libnats's threads ----

  static void on_closed(natsConnection* connection, void* held) {
    const std::unique_ptr<std::shared_ptr<Session>> self(static_cast<std::shared_ptr<Session>*>(held));
    const char* error = nullptr;
    natsConnection_GetLastError(connection, &error);
    (*self)->at_home([reason = text_of(error)](Link& link, Session& session) {
      link.ended(&session, reason.empty() ? "the connection ended" : reason);
    });
  }
  static void on_complete(void* held) { delete static_cast<std::shared_ptr<Session>*>(held); }
  static void on_message(natsConnection*, natsSubscription*, natsMsg* raw, void* self) {
    const std::unique_ptr<natsMsg, MessageDeleter> message(raw);
    static_cast<Session*>(self)->receive(raw);
  }

  void receive(natsMsg* raw) {
    Incoming message;
    message.subject = text_of(natsMsg_GetSubject(raw));
    // "<inbox>.a.17" and "<inbox>_d.<consumer>".
    if (message.subject.starts_with(inbox_)) message.subject.erase(0, inbox_.size() + 1);
    message.reply = text_of(natsMsg_GetReply(raw));
    message.data.assign(natsMsg_GetData(raw), static_cast<std::size_t>(natsMsg_GetDataLength(raw)));
    if (message.data.empty()) {
      message.status = header(raw, "Status");
      message.description = header(raw, "Description");
      message.last_consumer = header(raw, "Nats-Last-Consumer");
      message.stalled = header(raw, "Nats-Consumer-Stalled");
    }
    const MutexLock lock(mutex_);
    if (forgotten_ || overflowed_) return;
    box_bytes_ += message.data.size() + sizeof(Incoming);
    if (box_bytes_ > options_.box_bytes_max) overflowed_ = true;
    box_.push_back(std::move(message));
    if (std::exchange(box_posted_, true)) return;
    executor_->post([held = shared_from_this()] { held->empty_box(); });
  }

  // At home.
  void empty_box() {
    std::vector<Incoming> box;
    bool overflowed = false;
    {
      const MutexLock lock(mutex_);
      box.swap(box_);
      box_bytes_ = 0;
      box_posted_ = false;
      overflowed = overflowed_;
    }
    for (Incoming& message : box) {
      if (link_ == nullptr) return;
      link_->handler_->on_incoming(std::move(message));
    }
    if (overflowed && link_ != nullptr) link_->drop("messages arrive faster than they are taken");
  }

  Link* link_;  // the executor's
  Executor* const executor_;
  BlockingPool* const pool_;
  const Options options_;
  const std::string inbox_;
  natsConnection* connection_ = nullptr;  // the line's
  natsSubscription* subscription_ = nullptr;
  natsSubscription* delivery_ = nullptr;

  Mutex mutex_;
  bool forgotten_ CANDOR_GUARDED_BY(mutex_) = false;
  std::deque<Step> line_ CANDOR_GUARDED_BY(mutex_);
  bool line_runs_ CANDOR_GUARDED_BY(mutex_) = false;
  std::vector<Incoming> box_ CANDOR_GUARDED_BY(mutex_);
  std::size_t box_bytes_ CANDOR_GUARDED_BY(mutex_) = 0;
  bool box_posted_ CANDOR_GUARDED_BY(mutex_) = false;
  bool overflowed_ CANDOR_GUARDED_BY(mutex_) = false;
};

Link::Link(Executor* executor, BlockingPool* pool, Options options, std::uint64_t seed, LinkHandler* handler)
    : executor_(executor),
      pool_(pool),
      options_(std::move(options)),
      handler_(handler),
      backoff_(options_.reconnect, mix64(seed)),
      inbox_seed_(mix64(seed + 1)) {}

Link::~Link() {
  *alive_ = false;
  executor_->cancel(retry_timer_);
  if (session_) session_->forget();
}

void Link::connect() {
  if (session_) return;
  session_ =
      std::make_shared<Session>(this, fmt::format("_INBOX.candor{:016x}{:x}", inbox_seed_, ++inboxes_));
  session_->open();
}

std::string Link::listen(const std::string& name) {
  if (!connected_) return {};
  const std::string subject = fmt::format("{}_d.{}", session_->inbox(), name);
  session_->listen(subject);
  return subject;
}

void Link::send(Outgoing message) {
  if (!connected_) return;
  out_.push_back(std::move(message));
  if (std::exchange(send_scheduled_, true)) return;
  executor_->at_end_of_turn([this, alive = alive_] {
    if (!*alive) return;
    send_scheduled_ = false;
    auto batch = std::exchange(out_, {});
    if (connected_ && !batch.empty()) session_->send(std::move(batch));
  });
}

void Link::drop(const std::string& reason) { ended(session_.get(), reason); }

void Link::ended(const Session* session, const std::string& reason) {
  if (session == nullptr || session != session_.get()) return;
  std::exchange(session_, nullptr)->forget();
  out_.clear();
  connected_ = false;
  retry_timer_ = executor_->schedule(executor_->now() + backoff_.next(), [this] {
    retry_timer_ = TimerId{};
    connect();
  });
  handler_->on_link(false, reason);
}

}  // namespace candor::nats
