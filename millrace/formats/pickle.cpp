#include "millrace/formats/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "millrace/base/error.h"

namespace millrace {
namespace {

constexpr size_t kMaxName = 512;

/// Indices of values; a dictionary's are key, value, key, value.
using Items = std::vector<uint32_t>;

enum class Kind : uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  tuple,
  list,
  dictionary,
  function,  // a name that a pickle may call
  storage,   // a tuple that a persistent id stood for
  tensor,    // the arguments of its construction
};

/// `content` is the number, or which text or items it is.
struct Value {
  Kind kind;
  int64_t content;
};

/// What messages call a kind.
std::string_view word_for(Kind kind) {
  constexpr std::string_view kWords[] = {"none",       "a boolean", "an integer", "a real number",
                                         "text",       "a tuple",   "a list",     "a dictionary",
                                         "a function", "a storage", "a tensor"};
  return kWords[static_cast<size_t>(kind)];
}

struct StorageType {
  std::string_view name;
  DType dtype;
};
constexpr StorageType kStorageTypes[] = {
    {"torch.FloatStorage", DType::f32},     {"torch.HalfStorage", DType::f16},
    {"torch.BFloat16Storage", DType::bf16}, {"torch.DoubleStorage", DType::f64},
    {"torch.LongStorage", DType::i64},      {"torch.IntStorage", DType::i32},
    {"torch.ShortStorage", DType::i16},     {"torch.CharStorage", DType::i8},
    {"torch.ByteStorage", DType::u8},       {"torch.BoolStorage", DType::boolean}};

constexpr std::string_view kTensor = "torch._utils._rebuild_tensor_v2",
                           kParameter = "torch._utils._rebuild_parameter",
                           kOrderedDict = "collections.OrderedDict";

bool is_known_function(std::string_view name) {
  return name == kTensor || name == kParameter || name == kOrderedDict ||
         std::ranges::find(kStorageTypes, name, &StorageType::name) != std::end(kStorageTypes);
}

/// The machine that a pickle is written for, as far as weights need it.
class Unpickler {
 public:
  Unpickler(std::span<const std::byte> pickle, const std::string& source)
      : pickle_(pickle), source_(source) {}

  std::vector<PickledTensor> tensors() {
    while (step()) {
    }
    require(stack_.size() == 1 && marks_.empty(), "{}: its pickle ends in the middle", source_);
    const Value& whole = at(stack_.front());
    require(whole.kind == Kind::dictionary, "{}: holds {}, not a dictionary of tensors", source_,
            word_for(whole.kind));
    std::vector<PickledTensor> result;
    const Items& items = items_of(whole);
    for (size_t i = 0; i < items.size(); i += 2) {
      const std::string& name = text(items[i]);
      const Value& value = at(items[i + 1]);
      require(value.kind == Kind::tensor, "{}: {} is {}, not a tensor", source_, quote(name),
              word_for(value.kind));
      result.push_back(tensor(name, items_of(value)));
    }
    return result;
  }

 private:
  // --- Bytes ---
  std::span<const std::byte> take(uint64_t size) {
    require(size <= pickle_.size() - position_, "{}: its pickle is cut off", source_);
    const auto part = pickle_.subspan(position_, size);
    position_ += size;
    return part;
  }
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string bytes(uint64_t size) {
    const auto part = take(size);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  std::string line() {
    const auto rest = pickle_.subspan(position_);
    const auto end = std::ranges::find(rest, std::byte{'\n'});
    require(end != rest.end(), "{}: its pickle is cut off", source_);
    std::string result = bytes(static_cast<uint64_t>(end - rest.begin()));
    ++position_;
    return result;
  }

  // --- Values ---
  const Value& at(uint32_t index) const { return values_[index]; }
  const Items& items_of(const Value& value) const {
    return items_[static_cast<size_t>(value.content)];
  }
  Items& items_of(const Value& value) { return items_[static_cast<size_t>(value.content)]; }
  const std::string& text(uint32_t index) const {
    const Value& value = at(index);
    require(value.kind == Kind::text || value.kind == Kind::function,
            "{}: {} where its pickle should have text", source_, word_for(value.kind));
    return texts_[static_cast<size_t>(value.content)];
  }
  int64_t integer(uint32_t index) const {
    const Value& value = at(index);
    require(value.kind == Kind::integer, "{}: {} where its pickle should have an integer", source_,
            word_for(value.kind));
    return value.content;
  }
  const Items& tuple(uint32_t index) const {
    const Value& value = at(index);
    require(value.kind == Kind::tuple, "{}: {} where its pickle should have a tuple", source_,
            word_for(value.kind));
    return items_of(value);
  }

  void push(Kind kind, int64_t content = 0) {
    stack_.push_back(static_cast<uint32_t>(values_.size()));
    values_.push_back({kind, content});
  }
  void push_text(Kind kind, std::string content) {
    texts_.push_back(std::move(content));
    push(kind, static_cast<int64_t>(texts_.size()) - 1);
  }
  void push_items(Kind kind, Items content) {
    items_.push_back(std::move(content));
    push(kind, static_cast<int64_t>(items_.size()) - 1);
  }
  /// An index from the stack's top, above the last mark.
  uint32_t pop() {
    require(stack_.size() > (marks_.empty() ? 0 : marks_.back()),
            "{}: its pickle takes what is not there", source_);
    const uint32_t top = stack_.back();
    stack_.pop_back();
    return top;
  }
  uint32_t top() {
    const uint32_t index = pop();
    stack_.push_back(index);
    return index;
  }
  Items pop_many(size_t count) {
    Items result(count);
    for (size_t i = count; i > 0; --i) result[i - 1] = pop();
    return result;
  }
  Items pop_to_mark() {
    require(!marks_.empty(), "{}: its pickle takes what is not there", source_);
    Items result(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return result;
  }

  // --- Instructions ---
  /// False: the pickle has ended.
  bool step() {
    const auto code = number<uint8_t>();
    switch (code) {
      case 0x80:  // PROTO
        take(1);
        return true;
      case 0x95:  // FRAME
        take(8);
        return true;
      case '.':
        return false;
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case 'N':
        push(Kind::none);
        return true;
      case 0x88:
      case 0x89:
        push(Kind::boolean, code == 0x88);
        return true;
      case 'G':
        take(8);
        push(Kind::real);
        return true;
      case '}':
        push_items(Kind::dictionary, {});
        return true;
      case ']':
        push_items(Kind::list, {});
        return true;
      case ')':
        push_items(Kind::tuple, {});
        return true;
      case 't':
        push_items(Kind::tuple, pop_to_mark());
        return true;
      case 0x85:
      case 0x86:
      case 0x87:
        push_items(Kind::tuple, pop_many(code - 0x84u));
        return true;
      case 'a':
      case 'e':
        append(code == 'e' ? pop_to_mark() : pop_many(1), Kind::list);
        return true;
      case 's':
      case 'u':
        append(code == 'u' ? pop_to_mark() : pop_many(2), Kind::dictionary);
        return true;
      default:
        return integer_step(code) || text_step(code) || memo_step(code) || call_step(code) ||
               unknown(code);
    }
  }

  bool integer_step(uint8_t code) {
    switch (code) {
      case 'J':
        push(Kind::integer, number<int32_t>());
        return true;
      case 'K':
        push(Kind::integer, number<uint8_t>());
        return true;
      case 'M':
        push(Kind::integer, number<uint16_t>());
        return true;
      case 0x8a:  // LONG1: two's complement
        push(Kind::integer, long_integer(number<uint8_t>()));
        return true;
      default:
        return false;
    }
  }

  int64_t long_integer(uint8_t size) {
    require(size <= 8, "{}: its pickle has an integer of more than 64 bits", source_);
    const auto part = take(size);
    uint64_t value = 0;
    for (size_t i = 0; i < part.size(); ++i) {
      value |= std::to_integer<uint64_t>(part[i]) << (8 * i);
    }
    const bool negative = size > 0 && (part.back() & std::byte{0x80}) != std::byte{};
    if (negative && size < 8) value |= ~uint64_t{0} << (8 * size);
    return std::bit_cast<int64_t>(value);
  }

  bool text_step(uint8_t code) {
    switch (code) {
      case 'X':  // BINUNICODE, BINSTRING
      case 'T':
        push_text(Kind::text, bytes(number<uint32_t>()));
        return true;
      case 0x8c:  // SHORT_BINUNICODE, SHORT_BINSTRING
      case 'U':
        push_text(Kind::text, bytes(number<uint8_t>()));
        return true;
      case 'c': {  // GLOBAL
        std::string module = line();
        push_function(module + "." + line());
        return true;
      }
      case 0x93: {  // STACK_GLOBAL
        const std::string name = text(pop());
        push_function(text(pop()) + "." + name);
        return true;
      }
      default:
        return false;
    }
  }

  void push_function(const std::string& name) {
    require(is_known_function(name),
            "{}: its pickle would call {}, which weights do not need; it was not called. Have the "
            "model saved as safetensors",
            source_, quote(name));
    push_text(Kind::function, name);
  }

  bool memo_step(uint8_t code) {
    switch (code) {
      case 'q':
        memo_[number<uint8_t>()] = top();
        return true;
      case 'r':
        memo_[number<uint32_t>()] = top();
        return true;
      case 0x94:  // MEMOIZE
        memo_[static_cast<uint32_t>(memo_.size())] = top();
        return true;
      case 'h':
        recall(number<uint8_t>());
        return true;
      case 'j':
        recall(number<uint32_t>());
        return true;
      default:
        return false;
    }
  }

  void recall(uint32_t key) {
    auto found = memo_.find(key);
    require(found != memo_.end(), "{}: its pickle takes what is not there", source_);
    stack_.push_back(found->second);
  }

  bool call_step(uint8_t code) {
    switch (code) {
      case 'Q': {  // BINPERSID
        const Items id = tuple(pop());
        require(id.size() == 5 && text(id[0]) == "storage", "{}: its pickle names no storage",
                source_);
        push_items(Kind::storage, id);
        return true;
      }
      case 'R': {  // REDUCE
        const Items arguments = tuple(pop());
        call(pop(), arguments);
        return true;
      }
      case 'b': {  // BUILD: an OrderedDict's attributes, such as _metadata, are of no use
        const uint32_t state = pop();
        require(at(state).kind == Kind::dictionary && at(top()).kind == Kind::dictionary,
                "{}: its pickle builds an object that is no dictionary", source_);
        return true;
      }
      default:
        return false;
    }
  }

  void call(uint32_t function, const Items& arguments) {
    require(at(function).kind == Kind::function, "{}: its pickle would call {}", source_,
            word_for(at(function).kind));
    const std::string name = text(function);
    if (name == kOrderedDict && arguments.empty()) return push_items(Kind::dictionary, {});
    if (name == kTensor && arguments.size() >= 6) return push_items(Kind::tensor, arguments);
    if (name == kParameter && !arguments.empty()) return stack_.push_back(arguments[0]);
    fail("{}: its pickle calls {} with {} arguments", source_, name, arguments.size());
  }

  void append(const Items& added, Kind kind) {
    const Value& target = at(top());
    require(target.kind == kind && (kind == Kind::list || added.size() % 2 == 0),
            "{}: its pickle adds to {}", source_, word_for(target.kind));
    Items& items = items_of(target);
    items.insert(items.end(), added.begin(), added.end());
  }

  [[noreturn]] bool unknown(uint8_t code) const {
    fail("{}: its pickle has the instruction 0x{:02x} at byte {}, which weights do not need",
         source_, code, position_ - 1);
  }

  // --- What was described ---
  /// (storage, offset, shape, strides, requires_grad, hooks)
  PickledTensor tensor(const std::string& name, const Items& arguments) const {
    const Value& storage = at(arguments[0]);
    require(storage.kind == Kind::storage, "{}: {} has {} as its storage", source_, quote(name),
            word_for(storage.kind));
    const Items& id = items_of(storage);  // ("storage", type, key, device, count)
    const std::string type = text(id[1]);
    const auto* known = std::ranges::find(kStorageTypes, type, &StorageType::name);
    require(known != std::end(kStorageTypes), "{}: {} is of {}", source_, quote(name), quote(type));
    PickledTensor result{name, known->dtype, text(id[2]), 0, integer(arguments[1]), {}, {}};
    const int64_t count = integer(id[4]);
    require(count >= 0 && result.offset >= 0, "{}: {} begins or ends before its storage", source_,
            quote(name));
    result.storage_count = static_cast<uint64_t>(count);
    // What a pickle has once it may use often: long things would grow beyond measure.
    require(name.size() <= kMaxName && result.storage.size() <= kMaxName &&
                tuple(arguments[2]).size() <= 4 && tuple(arguments[3]).size() <= 4,
            "{}: {} has more than 4 dimensions or too long a name", source_, quote(name));
    for (uint32_t extent : tuple(arguments[2])) result.shape.push_back(integer(extent));
    for (uint32_t stride : tuple(arguments[3])) result.strides.push_back(integer(stride));
    return result;
  }

  std::span<const std::byte> pickle_;
  const std::string& source_;
  size_t position_ = 0;
  std::vector<Value> values_;
  std::vector<std::string> texts_;
  std::vector<Items> items_;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;  // sizes of the stack
  std::unordered_map<uint32_t, uint32_t> memo_;
};

}  // namespace

std::vector<PickledTensor> read_pickled_tensors(std::span<const std::byte> pickle,
                                                const std::string& source) {
  return Unpickler(pickle, source).tensors();
}

}  // namespace millrace
