// OpenAI's own client for Node.
const assert = require("node:assert");
const OpenAI = require("openai");
const { base, model, key, question, tool, schema, checkWeather, runAll } = require("./cases.cjs");

const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0, timeout: 60000 });
const messages = question;

async function plain() {
  const answer = await client.chat.completions.create({ model, messages, max_completion_tokens: 8, seed: 1 });
  assert(["stop", "length"].includes(answer.choices[0].finish_reason));
  assert.strictEqual(typeof answer.choices[0].message.content, "string");
  const models = [];
  for await (const one of client.models.list()) models.push(one.id);
  assert(models.includes(model), String(models));
}

async function streamed() {
  const stream = await client.chat.completions.create({
    model, messages, max_tokens: 8, seed: 1, stream: true, stream_options: { include_usage: true },
  });
  let text = "";
  let last;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    last = chunk;
  }
  assert.deepStrictEqual(last.choices, []);
  assert(last.usage.completion_tokens > 0);
  const whole = await client.chat.completions.create({ model, messages, max_tokens: 8, seed: 1 });
  assert.strictEqual(text, whole.choices[0].message.content);
}

async function tools() {
  const answer = await client.chat.completions.create({
    model, messages, tools: [tool], tool_choice: "required", parallel_tool_calls: false, max_tokens: 200,
  });
  const calls = answer.choices[0].message.tool_calls;
  assert.strictEqual(answer.choices[0].finish_reason, "tool_calls");
  checkWeather(JSON.parse(calls[0].function.arguments));
  const runner = client.chat.completions.stream({
    model, messages, tools: [tool], tool_choice: "required", parallel_tool_calls: false, max_tokens: 200,
  });
  const final = await runner.finalChatCompletion();
  checkWeather(JSON.parse(final.choices[0].message.tool_calls[0].function.arguments));
}

async function structured() {
  const answer = await client.chat.completions.parse({
    model, messages, max_tokens: 200,
    response_format: { type: "json_schema", json_schema: { name: "weather", schema, strict: true } },
  });
  checkWeather(JSON.parse(answer.choices[0].message.content));
}

async function embeddings() {
  const vectors = await client.embeddings.create({ model, input: ["water", "fire"] });
  const floats = await client.embeddings.create({ model, input: "water", encoding_format: "float" });
  assert.strictEqual(vectors.data.length, 2);
  vectors.data[0].embedding.forEach((x, i) => assert(Math.abs(x - floats.data[0].embedding[i]) < 1e-5));
}

async function responses() {
  const answer = await client.responses.create({ model, input: "hi", max_output_tokens: 8 });
  assert.strictEqual(typeof answer.output_text, "string");
  const kinds = [];
  const stream = await client.responses.create({ model, input: "hi", max_output_tokens: 8, stream: true });
  for await (const event of stream) kinds.push(event.type);
  assert.strictEqual(kinds[0], "response.created");
  assert(["response.completed", "response.incomplete"].includes(kinds.at(-1)), String(kinds));
}

async function errors() {
  await assert.rejects(client.chat.completions.create({ model: "nobody", messages }), OpenAI.NotFoundError);
  await assert.rejects(client.chat.completions.create({ model, messages: [] }), OpenAI.BadRequestError);
  await assert.rejects(client.withOptions({ apiKey: "wrong" }).models.list(), OpenAI.AuthenticationError);
}

runAll("openai", [plain, streamed, embeddings, responses, errors, tools, structured]);
