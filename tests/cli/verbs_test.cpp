// What every verb owes its user: help with an example, an exit status, an error that says which
// file or field is wrong; whatever the arguments, files and streams are.
#include <gtest/gtest.h>

#include <algorithm>

#include "millrace/base/file.h"
#include "millrace/generate/export.h"
#include "tests/cli/program.h"
#include "tests/scratch.h"
#include "tests/tiny_language_model.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

using Arguments = std::vector<std::string>;

const std::vector<Arguments> kVerbs = {{"chat"},
                                       {"run"},
                                       {"score"},
                                       {"tokenize"},
                                       {"tokenizer", "train"},
                                       {"tokenizer", "bench"},
                                       {"tokenizer", "convert"},
                                       {"train"},
                                       {"runs"},
                                       {"runs", "show"},
                                       {"eval"},
                                       {"embed"},
                                       {"rerank"},
                                       {"quantize"},
                                       {"convert"},
                                       {"show"},
                                       {"bench"},
                                       {"data", "prepare"}};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A model of random weights, and files that are wrong in some way. Paths hold Chinese.
class Verbs : public testing::Test {
 protected:
  Verbs() {
    LanguageModel model = tiny_language_model();
    export_folder(model, folder_ / "模型", DType::f32);
    fs::create_directories(folder_ / "empty");
    folder_.write("empty.txt", "");
    folder_.write("empty.gguf", "");
    folder_.write("empty.jsonl", "");
    folder_.write("requests.jsonl", R"({"request": "写诗", "form": "五言绝句"})");
    folder_.write("recipe.yaml",
                  "model: {hidden_size: 32, num_layers: 1, num_heads: 2}\n"
                  "schedule: {steps: 1, warmup_steps: 0}\n");
  }

  /// Runs the program in the folder.
  Outcome run(const Arguments& arguments, std::optional<std::string> input = "") const {
    return millrace_program(arguments, {std::move(input), {}, folder_.path()});
  }
  /// Status 1 and one line that has `part` in it.
  void expect_error(const Arguments& arguments, const std::string& part) const {
    const Outcome outcome = run(arguments);
    const std::string command = to_json_text(arguments);
    EXPECT_EQ(outcome.status, 1) << command;
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << command << "\n" << outcome.err;
    EXPECT_TRUE(outcome.err.starts_with("millrace: ")) << command << "\n" << outcome.err;
    EXPECT_TRUE(contains(outcome.err, part)) << command << "\n" << outcome.err;
    EXPECT_EQ(outcome.out, "") << command;
  }

  const ScratchFolder folder_;
};

TEST_F(Verbs, HaveHelpWithAnExample) {
  for (Arguments verb : kVerbs) {
    std::string name;
    for (const std::string& word : verb) name += " " + word;
    verb.push_back("--help");
    const Outcome outcome = run(verb);
    EXPECT_EQ(outcome.status, 0) << name;
    EXPECT_TRUE(contains(outcome.out, "Example:\n  millrace" + name)) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "--json") || name == " chat") << outcome.out;
  }
  const Outcome outcome = run({"--help"});
  EXPECT_EQ(outcome.status, 0);
  for (const Arguments& verb : kVerbs) EXPECT_TRUE(contains(outcome.out, "  " + verb[0] + " "));
  EXPECT_TRUE(contains(run({"--version"}).out, "millrace 0."));
}

TEST_F(Verbs, WrongUsageIsStatus2) {
  for (const Arguments& wrong : std::vector<Arguments>{{},
                                                       {"frobnicate"},
                                                       {"run"},
                                                       {"run", "模型", "--temperature", "warm"},
                                                       {"run", "模型", "--frobnicate"},
                                                       {"runs", "show"},
                                                       {"score", "模型"},
                                                       {"bench", "模型", "--prefill", "0"},
                                                       {"train", "--depth", "0"},
                                                       {"tokenizer"}}) {
    const Outcome outcome = run(wrong);
    EXPECT_EQ(outcome.status, 2) << to_json_text(wrong);
    EXPECT_NE(outcome.err, "") << to_json_text(wrong);
    EXPECT_EQ(outcome.out, "") << to_json_text(wrong);
  }
  EXPECT_TRUE(contains(run({"frobnicate"}).err, "there is no verb 'frobnicate'"));
}

TEST_F(Verbs, AModelThatIsNoneIsAnErrorThatNamesIt) {
  const std::vector<Arguments> verbs = {{"chat"},
                                        {"run", "--prompt", "a"},
                                        {"score", "--file", "empty.txt"},
                                        {"show"},
                                        {"quantize", "--out", "x.gguf"},
                                        {"convert", "--out", "x"},
                                        {"bench"},
                                        {"eval", "--requests", "requests.jsonl"}};
  for (const Arguments& verb : verbs) {
    for (const auto& [model, part] :
         {std::pair("nowhere", "nowhere: there is no such file or folder"),
          std::pair("empty", "empty: is no model: neither a .gguf file nor a folder with config"),
          std::pair("empty.txt", "empty.txt: is no model"),
          std::pair("empty.gguf", "empty.gguf: magic"), std::pair("没有", "没有: there is no")}) {
      Arguments arguments = verb;
      arguments.insert(arguments.begin() + 1, model);
      // A text is read before the model, which takes longer.
      expect_error(arguments, part);
    }
  }
  expect_error({"tokenize", "nowhere", "--text", "a"}, "nowhere: there is no such file");
  expect_error({"tokenize", "empty", "--text", "a"}, "empty: has no tokenizer: looked for");
  expect_error({"tokenize", "empty.txt", "--text", "a"}, "empty.txt: is no vocabulary");
  EXPECT_FALSE(fs::exists(folder_ / "x"));
  EXPECT_FALSE(fs::exists(folder_ / "x.gguf"));
}

TEST_F(Verbs, OtherFilesAndValuesThatAreWrongAreNamed) {
  expect_error({"run", "模型", "--prompt-file", "nowhere"}, "nowhere: cannot open");
  expect_error({"run", "模型", "--prompt", "a", "--adapter", "empty"}, "empty/adapter_config.json");
  expect_error({"run", "模型", "--prompt", "a", "--max-tokens", "0"}, "max_tokens is 0");
  expect_error({"run", "模型", "--prompt", "a", "--temperature", "-1"}, "temperature is -1");
  expect_error({"run", "模型", "--prompt", "a", "--logit-bias", "7"}, "--logit-bias 7");
  expect_error({"run", "模型", "--prompt", std::string(500, 'a')}, "the model's context is 128");
  expect_error({"run", "模型"}, "no prompt");
  expect_error({"score", "模型", "--file", "nowhere"}, "nowhere: cannot open");
  expect_error({"score", "模型", "--file", "empty.txt"}, "the text has 0 tokens");
  expect_error({"score", "模型", "--documents", "empty.jsonl"}, "empty.jsonl: nothing to score");
  expect_error({"score", "模型", "--documents", "nowhere"}, "nowhere: there is no such file");
  expect_error({"tokenize", "模型", "--file", "nowhere"}, "nowhere: cannot open");
  expect_error({"tokenize", "模型", "--decode", "--text", "1 x"}, "x' is not a number");
  expect_error({"tokenize", "模型", "--decode", "--text", "1 259"}, "259 is no token's");
  expect_error({"tokenize", "模型", "--decode", "--text", "[1, -1]"}, "-1 is no token's");
  expect_error({"tokenize", "模型", "--decode", "--text", "99999999999999999999"}, "is no token's");
  expect_error({"tokenizer", "train", "empty.txt", "--out", "t"}, "empty.txt: there is no text");
  expect_error({"tokenizer", "train", "nowhere", "--out", "t"}, "nowhere: cannot open");
  expect_error({"train", "nowhere.yaml"}, "nowhere.yaml: cannot open");
  expect_error({"train", "recipe.yaml", "optimizer.lrr=1"}, "optimizer.lrr: unknown key");
  expect_error({"train", "--resume", "--out", "empty"}, "empty: holds no run");
  expect_error({"runs", "show", "nowhere"}, "nowhere: holds no run");
  expect_error({"runs", "show", "empty", "--json"}, "empty: holds no run");
  expect_error({"eval", "模型", "--requests", "nowhere"}, "nowhere: there is no such file");
  expect_error({"eval", "模型", "--requests", "empty.jsonl"}, "empty.jsonl: has no requests");
  expect_error({"eval", "模型", "--requests", "requests.jsonl", "--tones", "empty.txt"},
               "empty.txt: has no tones");
  expect_error({"quantize", "模型", "--type", "Q9", "--out", "x.gguf"}, "'Q9' is no quantisation");
  expect_error({"quantize", "模型", "--out", "x.bin"}, "x.bin: quantised models are written");
  expect_error({"quantize", "模型", "--out", "none/x.gguf"}, "none/x.gguf: cannot create");
  expect_error({"convert", "模型", "--out", "x", "--type", "Q8_0"}, "--type Q8_0: folders hold");
  expect_error({"convert", "模型", "--out", "x.gguf", "--type", "Q9"}, "'Q9' is no quantisation");
  expect_error({"bench", "模型", "--prefill", "200"}, "the model's context is 128");
  expect_error({"bench", "模型", "--prefill", "8", "--depth", "12"}, "no multiple of --prefill 8");
  expect_error({"bench", "模型", "--prefill", "8", "--depth", "8", "--streams", "2"},
               "--depth is for one stream");
  expect_error({"data", "prepare", "nowhere", "--out", "d"}, "nowhere: there is no such file");
  expect_error({"data", "prepare", "empty.txt", "--out", "d"}, "empty.txt: there is no document");
  expect_error({"data", "prepare", "--poems", "empty.jsonl", "--out", "d"}, "there is no poem");
}

TEST_F(Verbs, ARunThatCouldNotBeginIsInNobodysWay) {
  const Arguments train = {"train", "recipe.yaml", "tokenizer.path=模型", "--out", "run"};
  Arguments wrong = train, right = train;
  wrong.push_back("data.train=nowhere.txt");
  right.push_back("data.train=recipe.yaml");
  expect_error(wrong, "nowhere.txt: there is no such file");
  wrong.back() = "data.train=empty.jsonl";
  expect_error(wrong, "data.train: empty.jsonl has nothing to learn from");
  const Outcome outcome = run(right);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  expect_error(right, "run: holds a run already");
}

TEST_F(Verbs, StandardStreamsMayBeClosedOrFull) {
  // Closed: there is nothing to read, and what is printed goes nowhere.
  EXPECT_EQ(run({"chat", "模型"}, std::nullopt).status, 0);
  EXPECT_EQ(run({"run", "模型"}, std::nullopt).status, 1);
  EXPECT_EQ(run({"tokenize", "模型", "--json"}, std::nullopt).out, "{\"tokens\":0,\"ids\":[]}\n");
  const std::string program = MILLRACE_PROGRAM;
  auto shell = [&](const std::string& command) {
    return run_program("/bin/sh", {"-c", "'" + program + "' " + command}, {"", {}, folder_.path()});
  };
  EXPECT_EQ(shell("quantize 模型 --out q8.gguf >&-").status, 0);
  EXPECT_EQ(run({"show", "q8.gguf"}).status, 0);
  // Full: nobody may think that all was written.
  for (const char* command : {"show 模型", "run 模型 --prompt a --max-tokens 2 --json", "--help"}) {
    const Outcome outcome = shell(std::string(command) + " >/dev/full");
    EXPECT_EQ(outcome.status, 1) << command;
    EXPECT_TRUE(contains(outcome.err, "cannot write")) << outcome.err;
  }
}

TEST_F(Verbs, ShowPlansWhatIsNotThereYet) {
  fs::copy_file(folder_ / "模型/config.json", folder_ / "empty/config.json");
  const Outcome bare = run({"show", "empty"});
  EXPECT_EQ(bare.status, 0) << bare.err;
  EXPECT_TRUE(contains(bare.out, "in memory")) << bare.out;
  folder_.write("empty/model.safetensors.index.json",
                R"({"weight_map": {"model.other.weight": "model-1.safetensors"}})");
  const Outcome outcome = run({"show", "empty", "--json"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_TRUE(contains(outcome.err, "index.json: these weights are not those of a llama"))
      << outcome.err;
  const Json report = parse_json(outcome.out, "show");
  EXPECT_EQ(report.at("unexpected"), Json::array({"model.other.weight"}));
  EXPECT_GT(report.at("missing").size(), 10u);
  EXPECT_EQ(run({"show", "模型", "--plan"}).status, 0);
}

TEST_F(Verbs, TokenizerConvertKeepsIdsAndTexts) {
  const fs::path models = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/text/models";
  const std::string text = "Hello,  Welt! 春眠不覺曉 🌧 3.14\n\tif (a < b) x();";
  for (const char* model : {"bpe.model", "unigram_bytes.model", "openai_gpt.json"}) {
    const std::string from = (models / model).string();
    const Outcome converted = run({"tokenizer", "convert", from, "--out", "字", "--json"});
    ASSERT_EQ(converted.status, 0) << converted.err;
    const Json report = parse_json(converted.out, "convert");
    EXPECT_EQ(report.at("tokenizer"), "字");
    const Json file = read_json(folder_ / "字/tokenizer.json");
    EXPECT_GE(report.at("vocab_size").get<size_t>(), file.at("model").at("vocab").size());
    const Outcome before = run({"tokenize", from, "--text", text, "--json"});
    const Outcome after = run({"tokenize", "字", "--text", text, "--json"});
    EXPECT_EQ(after.out, before.out) << model;
    EXPECT_GT(parse_json(after.out, "ids").at("ids").size(), 10u) << model;
  }
  expect_error({"tokenizer", "convert", "empty.txt", "--out", "字"}, "empty.txt: ");
}

TEST_F(Verbs, ChatTalksThroughPipesToo) {
  const Outcome outcome =
      run({"chat", "模型", "--max-tokens", "3", "--system", "你是诗人"}, "写诗\n\n/new\n再写\n");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_GE(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2);
  EXPECT_EQ(run({"chat", "模型"}, "/quit\n").out, "");
}

TEST_F(Verbs, TakeChineseAndAnyBytes) {
  const Json json = millrace_json({"tokenize", (folder_ / "模型").string(), "--text", "春眠"});
  EXPECT_EQ(json.at("ids").size(), 6u);
  const Outcome decoded = run({"tokenize", "模型", "--decode"}, to_json_text(json));
  EXPECT_EQ(decoded.out, "春眠");
  const std::string bytes("a\xff\x00\xfe 春\xe6\r\n", 10);
  const Outcome ids = run({"tokenize", "模型", "--plain"}, bytes);
  EXPECT_EQ(run({"tokenize", "模型", "--decode"}, ids.out).out, bytes);
  folder_.write("提示.txt", bytes);
  const Outcome outcome =
      run({"run", "模型", "--prompt-file", "提示.txt", "--max-tokens", "4", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_FALSE(Json::parse(outcome.out, nullptr, false).is_discarded()) << outcome.out;
}

TEST_F(Verbs, OptionsThatMayBeRepeatedLeaveTheModelAlone) {
  const Outcome stopped = run({"run", "--prompt", "a", "--max-tokens", "3", "--logit-bias", "65=9",
                               "--stop", "。", "--stop", "!", "模型"});
  EXPECT_EQ(stopped.status, 0) << stopped.err;
  folder_.write("a.jsonl", R"({"text": "one"})");
  folder_.write("b.txt", "two");
  const Outcome scored =
      run({"score", "--documents", "a.jsonl", "--documents", "b.txt", "模型", "--json"});
  ASSERT_EQ(scored.status, 0) << scored.err;
  EXPECT_EQ(parse_json(scored.out, "score").at("documents"), 2);
}

TEST_F(Verbs, RunHoldsAnswersToAGrammar) {
  const Arguments run_model = {"run", "模型", "--prompt", "a", "--max-tokens", "200"};
  auto with = [&](std::initializer_list<std::string> more) {
    Arguments arguments = run_model;
    arguments.insert(arguments.end(), more);
    return arguments;
  };
  EXPECT_EQ(run(with({"--regex", "x{3}(春|y){2}z"})).out.substr(0, 3), "xxx");
  EXPECT_EQ(run(with({"--regex", "one"})).out, "one\n");
  folder_.write("grammar.gbnf", "root ::= [ab]{4} \"!\"");
  const Outcome gbnf = run(with({"--grammar", "grammar.gbnf"}));
  EXPECT_EQ(gbnf.out.size(), 6u) << gbnf.out << gbnf.err;
  folder_.write("schema.json", R"({"type": "object", "properties": {"n": {"type": "integer"}},
                                   "required": ["n"], "additionalProperties": false})");
  const Outcome json = run(with({"--json-schema", "schema.json"}));
  EXPECT_TRUE(parse_json(json.out, "answer").at("n").is_number_integer()) << json.out << json.err;
  const Outcome cut = run(with({"--regex", "a{1000}"}));
  EXPECT_TRUE(contains(cut.err, "cut at --max-tokens 200")) << cut.err;
  expect_error(with({"--regex", "("}), "regular expression '(' has a group that does not end");
  expect_error(with({"--grammar", "empty.txt"}), "'root' is needed");
  expect_error(with({"--json-schema", "empty.txt"}), "not valid JSON");
}

TEST_F(Verbs, ConvertsToEveryTypeOfGguf) {
  for (const char* type : {"F32", "BF16", "F16", "Q8_0", "Q4_K_M"}) {
    EXPECT_EQ(run({"convert", "模型", "--out", "x.gguf", "--type", type}).status, 0) << type;
    EXPECT_EQ(run({"show", "x.gguf"}).status, 0) << type;
  }
}

TEST_F(Verbs, EnvironmentVariablesAreChecked) {
  const Arguments run_model = {"run", (folder_ / "模型").string(), "--prompt", "a", "--max-tokens",
                               "2"};
  const Outcome threads = millrace_program(run_model, {"", {{"MILLRACE_THREADS", "many"}}});
  EXPECT_EQ(threads.status, 2);
  const Outcome isa = millrace_program(run_model, {"", {{"MILLRACE_ISA", "mmx"}}});
  EXPECT_EQ(isa.status, 1);
  EXPECT_TRUE(contains(isa.err, "MILLRACE_ISA=mmx: unknown; choose one of")) << isa.err;
}

}  // namespace
}  // namespace millrace
