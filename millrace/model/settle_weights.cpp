#include "millrace/model/settle_weights.h"

#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "millrace/base/memory.h"
#include "millrace/base/thread_pool.h"

namespace millrace {
namespace {

size_t whole_pages(size_t size) {
  constexpr size_t kPage = 4096;
  return (size + kPage - 1) / kPage * kPage;
}

bool lies_in(const Storage& storage, std::span<const std::byte> bytes) {
  const std::less_equal<const std::byte*> not_after;
  return !bytes.empty() && not_after(bytes.data(), storage.data()) &&
         not_after(storage.data(), bytes.data() + bytes.size() - 1);
}

}  // namespace

bool settle_weights(Model& model, size_t bytes) {
  const std::span<const std::byte> mapped =
      model.mapped_weights() ? model.mapped_weights()->bytes() : std::span<const std::byte>();
  std::vector<Parameter*> moved;
  size_t total = 0;
  bool later = false;
  if (!mapped.empty() && mapped.size() > available_memory()) {
    model.set_mapped_weights(nullptr);  // what lies in it stays there
    return false;
  }
  const bool experts_stay = !mapped.empty() && mapped.size() > physical_memory() / 2;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    Parameter& parameter = model.parameters()[i];
    const std::shared_ptr<Storage>& storage = parameter.packed.bytes;
    if (storage == nullptr || !parameter.value.empty() || total >= bytes) continue;
    if (!storage->owns_memory() && !lies_in(*storage, mapped)) continue;  // settled
    if (experts_stay && model.spec(i).of_expert) continue;
    if (storage.use_count() > 1) {  // still being written to the cache; a copy would be a second
      later = true;
      continue;
    }
    moved.push_back(&parameter);
    total += whole_pages(storage->size());
  }
  if (moved.empty()) {
    if (!later) model.set_mapped_weights(nullptr);
    return later;
  }
  auto room = Storage::allocate(total, false);
  size_t at = 0;
  for (Parameter* parameter : moved) {
    const std::span<std::byte> from(parameter->packed.bytes->data(),
                                    parameter->packed.bytes->size());
    const std::span<std::byte> to(room->data() + at, from.size());
    constexpr int64_t kPart = 1 << 20;
    parallel_ranges(static_cast<int64_t>(from.size()), kPart, [&](int64_t begin, int64_t end) {
      std::memcpy(to.data() + begin, from.data() + begin, static_cast<size_t>(end - begin));
    });
    if (lies_in(*parameter->packed.bytes, mapped)) model.mapped_weights()->drop(from);
    parameter->packed.bytes = Storage::borrow(to, room);
    at += whole_pages(from.size());
  }
  return true;
}

}  // namespace millrace
