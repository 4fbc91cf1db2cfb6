// An annotated mutex: clang's thread-safety analysis checks what it guards (-Wthread-safety in the clang
// presets). The only mutex of the project; tools/tidy refuses a bare std::mutex elsewhere.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define CANDOR_TSA(x) __attribute__((x))
#else
#define CANDOR_TSA(x)
#endif
#define CANDOR_CAPABILITY(x) CANDOR_TSA(capability(x))
#define CANDOR_SCOPED_CAPABILITY CANDOR_TSA(scoped_lockable)
#define CANDOR_GUARDED_BY(x) CANDOR_TSA(guarded_by(x))
#define CANDOR_PT_GUARDED_BY(x) CANDOR_TSA(pt_guarded_by(x))
#define CANDOR_REQUIRES(...) CANDOR_TSA(requires_capability(__VA_ARGS__))
#define CANDOR_ACQUIRE(...) CANDOR_TSA(acquire_capability(__VA_ARGS__))
#define CANDOR_TRY_ACQUIRE(...) CANDOR_TSA(try_acquire_capability(__VA_ARGS__))
#define CANDOR_RELEASE(...) CANDOR_TSA(release_capability(__VA_ARGS__))
#define CANDOR_EXCLUDES(...) CANDOR_TSA(locks_excluded(__VA_ARGS__))
#define CANDOR_NO_TSA CANDOR_TSA(no_thread_safety_analysis)

namespace candor {

class CANDOR_CAPABILITY("mutex") Mutex {
 public:
  void lock() CANDOR_ACQUIRE() { mutex_.lock(); }
  void unlock() CANDOR_RELEASE() { mutex_.unlock(); }
  bool try_lock() CANDOR_TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  std::mutex& native() { return mutex_; }  // tidy: allow(this is the seam itself)

 private:
  std::mutex mutex_;  // tidy: allow(this is the seam itself)
};

class CANDOR_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) CANDOR_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() CANDOR_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace candor
