#include "millrace/hub/digest.h"

#include <openssl/evp.h>

#include "millrace/base/error.h"
#include "millrace/base/file.h"

namespace millrace::hub {
namespace {

EVP_MD_CTX* context_of(const std::shared_ptr<void>& context) {
  return static_cast<EVP_MD_CTX*>(context.get());
}

}  // namespace

Digest::Digest(Kind kind)
    : context_(EVP_MD_CTX_new(),
               [](void* context) { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context)); }) {
  const EVP_MD* algorithm = kind == Kind::sha256 ? EVP_sha256() : EVP_sha1();
  require(context_ != nullptr && EVP_DigestInit_ex(context_of(context_), algorithm, nullptr) == 1,
          "OpenSSL has no SHA digests here");
}

void Digest::add(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(context_of(context_), bytes.data(), bytes.size());
}

std::string Digest::hex() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_DigestFinal_ex(context_of(context_), bytes, &size);
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

std::string sha256_of(std::string_view text) {
  Digest digest;
  digest.add(text);
  return digest.hex();
}

FileDigests digests_of(const std::filesystem::path& path, const std::function<bool()>& stop) {
  constexpr size_t kStep = size_t{8} << 20;
  const MappedFile file(path);
  Digest sha256, git(Digest::Kind::sha1);
  git.add(fmt::format("blob {}", file.bytes().size()));
  git.add(std::string_view("\0", 1));
  for (std::span<const std::byte> rest = file.bytes(); !rest.empty();) {
    const auto step = rest.first(std::min(kStep, rest.size()));
    sha256.add(step);
    git.add(step);
    file.drop(step);
    require(!stop || !stop(), "{}: stopped", path.string());
    rest = rest.subspan(step.size());
  }
  return {sha256.hex(), git.hex()};
}

}  // namespace millrace::hub
