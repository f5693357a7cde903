// Ollama's own client for Node.
const assert = require("node:assert");
const { Ollama } = require("ollama");
const { base, model, key, question, tool, schema, checkWeather, runAll } = require("./cases.cjs");

const client = new Ollama({ host: base, headers: { Authorization: `Bearer ${key}` } });
const options = { num_predict: 8, seed: 1 };
const messages = question;

async function plain() {
  const answer = await client.chat({ model, messages, options });
  assert(answer.done && answer.eval_count > 0);
  const text = await client.generate({ model, prompt: "Once", options });
  assert.strictEqual(typeof text.response, "string");
}

async function streamed() {
  let text = "";
  let last;
  for await (const part of await client.chat({ model, messages, options, stream: true })) {
    text += part.message.content;
    last = part;
  }
  assert(last.done);
  assert.strictEqual(text, (await client.chat({ model, messages, options })).message.content);
}

async function tools() {
  // There is no way to demand a call here: the tools are only offered.
  const answer = await client.chat({ model, messages, tools: [tool], options });
  assert(answer.done);
}

async function structured() {
  const answer = await client.chat({ model, messages, format: schema, options: { num_predict: 200 } });
  checkWeather(JSON.parse(answer.message.content));
}

async function models() {
  const list = await client.list();
  assert(list.models.some((one) => one.name === model));
  const shown = await client.show({ model });
  assert(shown.capabilities.includes("completion"));
  const vectors = await client.embed({ model, input: ["water", "fire"] });
  assert.strictEqual(vectors.embeddings.length, 2);
  await assert.rejects(client.chat({ model: "nobody", messages }), /nobody/);
}

runAll("ollama", [plain, streamed, models, tools, structured]);
