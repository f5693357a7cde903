"""LangChain's client of OpenAI's API."""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, WEATHER, check, check_weather

model = ChatOpenAI(base_url=BASE + "/v1", api_key=KEY, model=MODEL, max_retries=0, timeout=60, max_tokens=200)
short = ChatOpenAI(base_url=BASE + "/v1", api_key=KEY, model=MODEL, max_retries=0, timeout=60, max_tokens=8, seed=1,
                   stream_usage=True)
QUESTION = [("system", "Be brief."), ("human", "How is the weather in Rome?")]


def plain():
    answer = short.invoke(QUESTION)
    check(isinstance(answer.content, str) and answer.usage_metadata["output_tokens"] > 0, answer)


def streamed():
    whole = None
    for chunk in short.stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    check(whole.content == short.invoke(QUESTION).content, whole)
    check(whole.usage_metadata["output_tokens"] > 0, whole)


@tool("weather", args_schema=WEATHER)
def weather(city, days):
    """The weather of a city."""


def tools():
    answer = model.bind_tools([weather], tool_choice="any", parallel_tool_calls=False).invoke(QUESTION)
    check(len(answer.tool_calls) == 1 and answer.tool_calls[0]["name"] == "weather", answer)
    check_weather(answer.tool_calls[0]["args"])


class Weather(BaseModel):
    sunny: bool
    windy: bool


def structured():
    for method in ("json_schema", "function_calling"):
        answer = model.with_structured_output(Weather, method=method).invoke(QUESTION)
        check(isinstance(answer, Weather), answer)


def embeddings():
    embedder = OpenAIEmbeddings(base_url=BASE + "/v1", api_key=KEY, model=MODEL, check_embedding_ctx_length=False)
    check(len(embedder.embed_documents(["water", "fire"])) == 2, "embeddings")


for part in (plain, streamed, embeddings, tools, structured):
    print("langchain:", part.__name__, flush=True)
    part()
