// Vercel's AI SDK, by its provider for servers like OpenAI's and by its own for OpenAI.
const assert = require("node:assert");
const { createOpenAI } = require("@ai-sdk/openai");
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");
const { embedMany, generateObject, generateText, jsonSchema, streamText, tool } = require("ai");
const { base, model, key, schema, checkWeather, runAll } = require("./cases.cjs");

const compatible = createOpenAICompatible({
  name: "millrace", baseURL: `${base}/v1`, apiKey: key, supportsStructuredOutputs: true, includeUsage: true,
});
const openai = createOpenAI({ baseURL: `${base}/v1`, apiKey: key });
// Three ways to the same model: chat completions twice, and responses.
const ways = [compatible(model), openai.chat(model), openai.responses(model)];
const prompt = "How is the weather in Rome?";
const common = { prompt, maxRetries: 0 };

async function plain() {
  for (const way of ways) {
    const { text, finishReason, usage } = await generateText({ ...common, model: way, maxOutputTokens: 8 });
    assert.strictEqual(typeof text, "string");
    assert(["stop", "length"].includes(finishReason), finishReason);
    assert(usage.outputTokens > 0);
  }
}

async function streamed() {
  for (const way of ways) {
    const result = streamText({
      ...common, model: way, maxOutputTokens: 8, onError: ({ error }) => { throw error; },
    });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    assert.strictEqual(text, await result.text);
    assert((await result.usage).outputTokens > 0);
  }
}

async function tools() {
  const weather = tool({ description: "The weather of a city.", inputSchema: jsonSchema(schema) });
  for (const way of ways) {
    const asked = { ...common, model: way, tools: { weather }, toolChoice: "required", maxOutputTokens: 400 };
    const { toolCalls } = await generateText(asked);
    assert(toolCalls.length > 0);
    toolCalls.forEach((call) => checkWeather(call.input));
    const calls = await streamText({ ...asked, onError: ({ error }) => { throw error; } }).toolCalls;
    assert(calls.length > 0);
    calls.forEach((call) => checkWeather(call.input));
  }
}

async function structured() {
  for (const way of ways) {
    const { object } = await generateObject({
      ...common, model: way, schema: jsonSchema(schema), maxOutputTokens: 200,
    });
    checkWeather(object);
  }
}

async function embeddings() {
  const { embeddings: vectors } = await embedMany({
    model: compatible.textEmbeddingModel(model), values: ["water", "fire"], maxRetries: 0,
  });
  assert.strictEqual(vectors.length, 2);
}

async function errors() {
  await assert.rejects(generateText({ ...common, model: compatible("nobody") }), /nobody/);
}

runAll("ai", [plain, streamed, embeddings, errors, tools, structured]);
