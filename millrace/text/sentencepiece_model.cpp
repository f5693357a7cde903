#include "millrace/text/sentencepiece_model.h"

#include <cmath>
#include <cstring>
#include <optional>

#include "millrace/base/error.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

/// One field of a message: its number, and its value as a number or as bytes.
struct Field {
  enum Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  uint64_t number = 0;
  uint64_t wire = kVarint;
  uint64_t value = 0;
  std::string_view bytes;
};

/// The fields of a message, one after the other.
/// https://protobuf.dev/programming-guides/encoding/
class Message {
 public:
  Message(std::string_view bytes, std::string_view name, std::string_view source)
      : rest_(bytes), name_(name), source_(source) {}

  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    Field field;
    uint64_t key = varint();
    field.number = key >> 3;
    field.wire = key & 7;
    require(field.number != 0, "{}: {}: a field without a number", source_, name_);
    switch (field.wire) {
      case Field::kVarint:
        field.value = varint();
        break;
      case Field::kFixed64:
        field.value = fixed(8);
        break;
      case Field::kFixed32:
        field.value = fixed(4);
        break;
      case Field::kBytes:
        field.bytes = take(varint());
        break;
      default:
        fail("{}: {}: field {} has the unknown wire type {}; is this a SentencePiece model?",
             source_, name_, field.number, field.wire);
    }
    return field;
  }

  /// The value of a field that must be of this kind.
  uint64_t number(const Field& field) const {
    check(field, Field::kVarint);
    return field.value;
  }
  std::string_view bytes(const Field& field) const {
    check(field, Field::kBytes);
    return field.bytes;
  }
  float real(const Field& field) const {
    check(field, Field::kFixed32);
    auto bits = static_cast<uint32_t>(field.value);
    float value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }

 private:
  void check(const Field& field, uint64_t wire) const {
    require(field.wire == wire, "{}: {}: field {} has wire type {} instead of {}", source_, name_,
            field.number, field.wire, wire);
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("{}: {}: a number of more than 64 bits; is this a SentencePiece model?", source_, name_);
  }

  uint64_t fixed(size_t size) {
    uint64_t value = 0;
    std::memcpy(&value, take(size).data(), size);
    return value;
  }

  std::string_view take(uint64_t size) {
    require(size <= rest_.size(), "{}: {}: {} bytes are wanted where {} are left", source_, name_,
            size, rest_.size());
    std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

  std::string_view rest_;
  std::string_view name_;
  std::string_view source_;
};

int64_t signed_value(uint64_t value) {
  return static_cast<int32_t>(value);
}

SentencePieceModel::Piece parse_piece(std::string_view bytes, size_t index,
                                      std::string_view source) {
  SentencePieceModel::Piece piece;
  Message message(bytes, "SentencePiece", source);
  while (std::optional<Field> field = message.next()) {
    if (field->number == 1) {
      piece.text = message.bytes(*field);
    } else if (field->number == 2) {
      piece.score = message.real(*field);
      require(std::isfinite(piece.score), "{}: piece {} has a score that is no number", source,
              index);
    } else if (field->number == 3) {
      uint64_t type = message.number(*field);
      require(type >= 1 && type <= 6, "{}: piece {} has the unknown type {}", source, index, type);
      piece.type = static_cast<SentencePieceModel::PieceType>(type);
    }
  }
  require(!piece.text.empty() && is_utf8(piece.text), "{}: piece {} is {}, not text", source, index,
          quote(piece.text));
  return piece;
}

void parse_trainer(std::string_view bytes, std::string_view source, SentencePieceModel& model) {
  Message message(bytes, "TrainerSpec", source);
  while (std::optional<Field> field = message.next()) {
    switch (field->number) {
      case 3: {
        uint64_t type = message.number(*field);
        require(type >= 1 && type <= 4, "{}: model type {} is unknown", source, type);
        model.type = static_cast<SentencePieceModel::Type>(type);
        break;
      }
      case 24:
        model.treat_whitespace_as_suffix = message.number(*field) != 0;
        break;
      case 35:
        model.byte_fallback = message.number(*field) != 0;
        break;
      case 41:
        model.bos_id = signed_value(message.number(*field));
        break;
      case 42:
        model.eos_id = signed_value(message.number(*field));
        break;
      case 43:
        model.pad_id = signed_value(message.number(*field));
        break;
      default:
        break;  // of training only
    }
  }
}

void parse_normalizer(std::string_view bytes, std::string_view source, SentencePieceModel& model) {
  Message message(bytes, "NormalizerSpec", source);
  while (std::optional<Field> field = message.next()) {
    switch (field->number) {
      case 2:
        model.precompiled_charsmap = message.bytes(*field);
        break;
      case 3:
        model.add_dummy_prefix = message.number(*field) != 0;
        break;
      case 4:
        model.remove_extra_whitespaces = message.number(*field) != 0;
        break;
      case 5:
        model.escape_whitespaces = message.number(*field) != 0;
        break;
      default:
        break;  // names, and rules that the map was made from
    }
  }
}

}  // namespace

SentencePieceModel SentencePieceModel::parse(std::string_view bytes, std::string_view source) {
  SentencePieceModel model;
  Message message(bytes, "ModelProto", source);
  while (std::optional<Field> field = message.next()) {
    if (field->number == 1) {
      model.pieces.push_back(parse_piece(message.bytes(*field), model.pieces.size(), source));
    } else if (field->number == 2) {
      parse_trainer(message.bytes(*field), source, model);
    } else if (field->number == 3) {
      parse_normalizer(message.bytes(*field), source, model);
    }
  }
  require(!model.pieces.empty(), "{}: has no pieces; is this a SentencePiece model?", source);
  return model;
}

}  // namespace millrace
