#include "millrace/generate/fair_queue.h"

#include <algorithm>
#include <limits>

namespace millrace {
namespace {

constexpr size_t kMaxRemembered = 4096;  // clients

std::pair<int64_t, RequestId> place(const Sequence& sequence) {
  return {-int64_t{sequence.request.priority}, sequence.id};
}

}  // namespace

bool goes_before(const Sequence& a, const Sequence& b) {
  if (a.request.priority != b.request.priority) return a.request.priority > b.request.priority;
  if (a.client->served != b.client->served) return a.client->served < b.client->served;
  if (a.client->running != b.client->running) return a.client->running < b.client->running;
  return a.id < b.id;
}

Client& FairQueue::client_of(const std::string& name) {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const auto& [other, client] : clients_) {
    if (client->active > 0) least = std::min(least, client->served);
  }
  // With nobody else there is nothing to share, and what was before does not count.
  if (least == std::numeric_limits<int64_t>::max()) clients_.clear(), least = 0;
  std::unique_ptr<Client>& client = clients_[name];
  if (client == nullptr) {
    client = std::make_unique<Client>();
    client->name = name;
  }
  if (client->active == 0) client->served = std::max(client->served, least);
  return *client;
}

void FairQueue::enter(std::unique_ptr<Sequence> sequence) {
  sequence->client = &client_of(sequence->request.client);
  ++sequence->client->active;
  put_back(std::move(sequence));
}

void FairQueue::put_back(std::unique_ptr<Sequence> sequence) {
  Client& client = *sequence->client;
  if (client.waiting.empty()) contenders_.push_back(&client);
  client.waiting.insert(place(*sequence));
  sequence->state = Sequence::State::waiting;
  waiting_[sequence->id] = std::move(sequence);
}

Sequence* FairQueue::first() const {
  Sequence* first = nullptr;
  for (const Client* client : contenders_) {
    Sequence* sequence = waiting_.at(client->waiting.begin()->second).get();
    if (first == nullptr || goes_before(*sequence, *first)) first = sequence;
  }
  return first;
}

std::unique_ptr<Sequence> FairQueue::take(RequestId id) {
  auto found = waiting_.find(id);
  if (found == waiting_.end()) return nullptr;
  std::unique_ptr<Sequence> sequence = std::move(found->second);
  waiting_.erase(found);
  Client& client = *sequence->client;
  client.waiting.erase(place(*sequence));
  if (client.waiting.empty()) std::erase(contenders_, &client);
  return sequence;
}

void FairQueue::leave(Sequence& sequence) {
  Client& client = *sequence.client;
  sequence.client = nullptr;
  if (--client.active == 0 && clients_.size() > kMaxRemembered) {
    clients_.erase(std::string(client.name));
  }
}

}  // namespace millrace
