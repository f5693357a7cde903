// Chat templates of models that were published without one, from their documented formats.
#include <array>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/text/chat_template.h"

namespace millrace {
namespace {

// The format that OpenAI described as ChatML, with <|im_start|> and <|im_end|> as single tokens.
constexpr std::string_view kChatMl = R"jinja(
{%- for message in messages -%}
    {%- set content = message.content if message.content is string
                      else message.content | map(attribute='text') | join -%}
    {{- '<|im_start|>' + message.role + '\n' -}}
    {%- if message.role == 'assistant' -%}
        {%- generation -%}{{ content + '<|im_end|>' }}{%- endgeneration -%}
    {%- else -%}
        {{- content + '<|im_end|>' -}}
    {%- endif -%}
    {{- '\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\n' -}}
{%- endif -%}
)jinja";

// Llama 2 as first released: chat_completion in llama/generation.py of
// github.com/facebookresearch/llama (commit 54c22c0). The system message goes into the first user
// message; each exchange is a sequence of its own, from bos to eos.
constexpr std::string_view kLlama2 = R"jinja(
{%- if messages[0].role == 'system' -%}
    {%- set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set system = '' -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if message.role != ('user' if loop.index0 is even else 'assistant') -%}
        {{- raise_exception('Llama 2 takes an optional system message, then user and assistant in turns') -}}
    {%- endif -%}
    {%- if message.role == 'user' -%}
        {%- set content = system + message.content if loop.first else message.content -%}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' -}}
    {%- else -%}
        {{- ' ' -}}
        {%- generation -%}{{ message.content.strip() + ' ' + eos_token }}{%- endgeneration -%}
    {%- endif -%}
{%- endfor -%}
)jinja";

// Baichuan2-Chat: build_chat_input in generation_utils.py of huggingface.co/baichuan-inc/
// Baichuan2-13B-Chat (commit 99fe8c0). Its user_token_id 195 and assistant_token_id 196 are the
// tokens <reserved_106> and <reserved_107>; nothing ends a turn but the next one's token.
constexpr std::string_view kBaichuan2 = R"jinja(
{%- for message in messages -%}
    {%- if message.role == 'system' -%}
        {%- if not loop.first -%}
            {{- raise_exception('Baichuan2 takes a system message at the beginning only') -}}
        {%- endif -%}
        {{- message.content -}}
    {%- elif message.role == 'user' -%}
        {{- '<reserved_106>' + message.content -}}
    {%- else -%}
        {{- '<reserved_107>' -}}
        {%- generation -%}{{ message.content }}{%- endgeneration -%}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and messages[-1].role != 'assistant' -%}
    {{- '<reserved_107>' -}}
{%- endif -%}
)jinja";

// ChatGLM3: PROMPT.md of github.com/THUDM/ChatGLM3 (commit 34f90b0) and build_chat_input in
// tokenization_chatglm.py of huggingface.co/THUDM/chatglm3-6b. Its tokenizer encodes a role's line
// and the content apart, so that SentencePiece puts a space before the content: it is written here.
constexpr std::string_view kChatGlm3 = R"jinja(
{%- macro declare(tools) -%}
    {%- set functions = namespace(list=[]) -%}
    {%- for tool in tools -%}
        {%- set functions.list = functions.list + [tool.function if tool.function is defined else tool] -%}
    {%- endfor -%}
    {{- '\n' + functions.list | tojson(indent=4) -}}
{%- endmacro -%}
{%- macro call(function) -%}
    {{- '```python\ntool_call(' -}}
    {%- if function.arguments is mapping -%}
        {%- for name, value in function.arguments.items() -%}
            {{- name + '=' + value | tojson -}}{{- '' if loop.last else ', ' -}}
        {%- endfor -%}
    {%- else -%}
        {{- function.arguments -}}
    {%- endif -%}
    {{- ')\n```' -}}
{%- endmacro -%}
{{- '[gMASK]sop' -}}
{%- if tools and messages[0].role != 'system' -%}
    {{- '<|system|>\n Answer the following questions as best as you can. You have access to the following tools:' + declare(tools) -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {%- if message.content or not message.tool_calls -%}
            {{- '<|assistant|>' + (message.metadata or '') -}}
            {%- generation -%}{{ '\n ' + message.content }}{%- endgeneration -%}
        {%- endif -%}
        {%- for tool_call in message.tool_calls or [] -%}
            {{- '<|assistant|>' -}}
            {%- generation -%}{{ tool_call.function.name + '\n ' + call(tool_call.function) }}{%- endgeneration -%}
        {%- endfor -%}
    {%- elif message.role in ['tool', 'function', 'observation'] -%}
        {{- '<|observation|>\n ' + message.content -}}
    {%- elif message.role in ['system', 'user'] -%}
        {{- '<|' + message.role + '|>\n ' + message.content -}}
        {{- declare(tools) if tools and loop.first and message.role == 'system' -}}
    {%- else -%}
        {{- raise_exception('ChatGLM3 has no role ' + message.role) -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|assistant|>' -}}
{%- endif -%}
)jinja";

// The messages and nothing else, for models that know no turns: those that were taught instructions
// (T5's kin), or continue a text (GLM).
constexpr std::string_view kPlain = R"jinja(
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {%- generation -%}{{ message.content }}{%- endgeneration -%}
    {%- else -%}
        {{- message.content -}}
    {%- endif -%}
    {{- '' if loop.last else '\n' -}}
{%- endfor -%}
)jinja";

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kTemplates = {{
    {"chatml", kChatMl},
    {"llama2", kLlama2},
    {"baichuan2", kBaichuan2},
    {"chatglm3", kChatGlm3},
    {"plain", kPlain},
}};

}  // namespace

std::string_view built_in_template(std::string_view name) {
  for (const auto& [known, source] : kTemplates) {
    if (known == name) return source;
  }
  fail("there is no built-in chat template '{}': use chatml, llama2, baichuan2, chatglm3 or plain",
       name);
}

}  // namespace millrace
