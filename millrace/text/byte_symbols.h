// GPT-2's alphabet: every byte is written as one printable character ("Ġ" is a space), so that
// tokens of any bytes can stand in JSON and GGUF (Radford et al. 2019; encoder.py of GPT-2).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

/// Bytes as symbols, one character each.
std::string bytes_to_symbols(std::string_view bytes);

/// The bytes that symbols stand for; nullopt where a character is no symbol.
std::optional<std::string> symbols_to_bytes(std::string_view symbols);

}  // namespace millrace
