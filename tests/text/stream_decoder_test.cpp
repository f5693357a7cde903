#include "millrace/text/stream_decoder.h"

#include <gtest/gtest.h>

#include "corpus.h"
#include "millrace/text/bpe_train.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

Tokenizer small_tokenizer() {
  BpeTrainOptions options;
  options.vocab_size = 300;  // most characters are several tokens
  std::vector<std::string_view> texts = {"the cat and the dog and the cat"};
  return train_bpe(texts, options);
}

TEST(StreamDecoder, NeverSplitsACharacter) {
  Tokenizer tokenizer = small_tokenizer();
  std::vector<std::string> documents = corpus_documents(64);
  for (size_t i = 0; i < documents.size(); ++i) {
    bool is_broken = i % 8 == 7;
    StreamDecoder decoder(tokenizer);
    std::string text;
    for (int32_t id : tokenizer.encode(documents[i], {.parse_special = false})) {
      std::string part = decoder.add(id);
      if (!is_broken) {
        EXPECT_TRUE(is_utf8(part));
      }
      text += part;
    }
    text += decoder.finish();
    EXPECT_EQ(text, documents[i]);
  }
}

TEST(StreamDecoder, HoldsBackOnlyWhatMayBecomeACharacter) {
  Tokenizer tokenizer = small_tokenizer();
  StreamDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.add(0xe4), "");
  EXPECT_EQ(decoder.add(0xb8), "");
  EXPECT_EQ(decoder.add(0xad), "中");
  EXPECT_EQ(decoder.add(0xe4), "");
  EXPECT_EQ(decoder.add('x'), "\xe4x");  // nothing can complete it any more
  EXPECT_EQ(decoder.add(0xff), "\xff");
  EXPECT_EQ(decoder.add(0xf0), "");
  EXPECT_EQ(decoder.finish(), "\xf0");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, LeavesSpecialTokensOutUnlessAsked) {
  Tokenizer tokenizer = small_tokenizer();
  StreamDecoder plain(tokenizer);
  EXPECT_EQ(plain.add(tokenizer.eos()), "");
  StreamDecoder with_special(tokenizer, false);
  EXPECT_EQ(with_special.add(tokenizer.eos()), "<|endoftext|>");
  EXPECT_EQ(plain.add(1 << 30), "");  // a row that only pads the embedding
}

}  // namespace
}  // namespace millrace
