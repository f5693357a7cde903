// The one thread pool of the process. Nothing else starts threads for arithmetic.
#pragma once

#include <cstdint>
#include <type_traits>

namespace millrace {

/// A reference to a callable; unlike std::function it never allocates. The callable must outlive
/// the call it is passed to.
template <typename Signature>
class FunctionRef;
template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
 public:
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT: implicit by intention
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(args...);
        }) {}
  R operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Number of threads that parallel_for uses, the caller's included. At the start: MILLRACE_THREADS,
/// else the processors that this process may use (affinity and the container's CPU quota).
int num_threads();

/// Changes the number of threads. Not to be called while parallel_for runs.
void set_num_threads(int count);

/// Calls `body(i)` once for every i in [0, count), spread over the pool; returns when all are
/// done. Which thread runs which i is not defined, so a body's result must depend on i alone: with
/// that, results are the same at every number of threads. A parallel_for within a body runs
/// serially. The first exception thrown by a body is rethrown here, after all threads stopped.
void parallel_for(int64_t count, FunctionRef<void(int64_t)> body);

/// As parallel_for, in ranges of at most `grain`: calls `body(begin, end)`.
void parallel_ranges(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t)> body);

}  // namespace millrace
