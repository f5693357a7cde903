// Zip archives whose entries are stored as they are: PyTorch's weights files since 2020.
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace millrace {

/// The bytes of each entry by its name, within `bytes`. Throws Error, which begins with `source`,
/// for a directory that is damaged or disagrees with the entries, for two entries of one name, and
/// for entries that are compressed or encrypted.
std::map<std::string, std::span<const std::byte>, std::less<>> read_stored_zip(
    std::span<const std::byte> bytes, const std::string& source);

}  // namespace millrace
