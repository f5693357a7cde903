// What the Node clients ask for, alike.
const assert = require("node:assert");

const [base, model] = process.argv.slice(2);
const schema = {
  type: "object",
  properties: { city: { type: "string", enum: ["Oslo", "Rome"] }, days: { type: "integer", enum: [1, 7] } },
  required: ["city", "days"],
  additionalProperties: false,
};

module.exports = {
  base,
  model,
  key: "a-key",
  schema,
  question: [{ role: "user", content: "How is the weather in Rome?" }],
  tool: { type: "function", function: { name: "weather", description: "The weather of a city.", parameters: schema } },

  checkWeather(value) {
    assert.deepStrictEqual(Object.keys(value).sort(), ["city", "days"]);
    assert(["Oslo", "Rome"].includes(value.city) && [1, 7].includes(value.days), JSON.stringify(value));
  },

  async runAll(client, parts) {
    for (const part of parts) {
      console.log(`${client}: ${part.name}`);
      await part();
    }
  },
};
