// The program's verbs, one file each. Each adds its subcommand; its callback does the work.
#pragma once

#include <CLI/App.hpp>

namespace millrace::cli {

void add_bench(CLI::App& app);
void add_chat(CLI::App& app);
void add_convert(CLI::App& app);
void add_data(CLI::App& app);
void add_embed(CLI::App& app);
void add_eval(CLI::App& app);
void add_models(CLI::App& app);
void add_pull(CLI::App& app);
void add_quantize(CLI::App& app);
void add_rerank(CLI::App& app);
void add_rm(CLI::App& app);
void add_run(CLI::App& app);
void add_runs(CLI::App& app);
void add_score(CLI::App& app);
void add_serve(CLI::App& app);
void add_show(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_tokenizer(CLI::App& app);
void add_train(CLI::App& app);

}  // namespace millrace::cli
