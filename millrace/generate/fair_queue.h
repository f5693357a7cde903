// Who comes next: sequences that wait, by priority, by what their clients have had, by age.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "millrace/generate/sequence.h"

namespace millrace {

/// Whose requests share one account.
struct Client {
  std::string name;
  int64_t served = 0;                               ///< tokens that went through the model for it
  int64_t active = 0;                               ///< sequences that wait or run
  int64_t running = 0;                              ///< of these
  int64_t blocks = 0;                               ///< scratch: what its sequences hold
  std::set<std::pair<int64_t, RequestId>> waiting;  ///< (−priority, id): the first goes first
};

/// Among waiting sequences the next is of the highest priority, of that client which was served
/// the least, of which the fewest run, and its oldest. A client that comes back is counted as
/// served as much as the least served active one: nobody saves up a share (start-time fair
/// queueing, Goyal et al. 1996).
class FairQueue {
 public:
  /// A new sequence. It must be ended (by `leave`) once it was taken.
  void enter(std::unique_ptr<Sequence> sequence);
  /// One that was taken waits again.
  void put_back(std::unique_ptr<Sequence> sequence);
  /// The next; null when none waits.
  Sequence* first() const;
  /// Takes one out; null when it does not wait.
  std::unique_ptr<Sequence> take(RequestId id);
  /// The sequence has ended.
  void leave(Sequence& sequence);

  size_t size() const { return waiting_.size(); }

 private:
  Client& client_of(const std::string& name);

  std::unordered_map<std::string, std::unique_ptr<Client>> clients_;
  std::vector<Client*> contenders_;  // clients with waiting sequences
  std::unordered_map<RequestId, std::unique_ptr<Sequence>> waiting_;
};

/// Whether `a` has the claim before `b`.
bool goes_before(const Sequence& a, const Sequence& b);

}  // namespace millrace
