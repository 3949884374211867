"""Calls of langchain-openai, each under a prompt of its own, within chains, tools, HTTP requests and queries."""

import contextlib
import os
import sqlite3

import openai
import urllib3
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from opentelemetry import trace


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"Rain in {city}"


class Library(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(f"About {query}")]


def chat(**settings):
    return ChatOpenAI(**{"model": "gpt-4o-mini", "max_retries": 0, **settings})


def plain():
    chat().invoke([SystemMessage("Be brief."), HumanMessage("Hi!"), AIMessage("Hello."), HumanMessage("Plain chat")])


def streamed():
    for _ in chat(stream_usage=True).stream("Streamed chat"):
        pass


def several():
    chat(n=2, model="gpt-4o").invoke("Two choices")


def with_tool():
    model = chat().bind_tools([weather])
    asked = HumanMessage("Oslo")
    call = model.invoke([asked])
    results = [ToolMessage(weather.invoke(one["args"]), tool_call_id=one["id"]) for one in call.tool_calls]
    model.invoke([asked, call, *results])


def completions():
    model = {"model": "gpt-3.5-turbo-instruct", "max_retries": 0}
    OpenAI(**model).invoke("Completion")
    for _ in OpenAI(**model).stream("Streamed completion"):
        pass
    OpenAI(**model, n=2, best_of=2).invoke("Two completions")


def failing():
    with contextlib.suppress(openai.APIStatusError):
        chat(model="status-429").invoke("Failing chat")


def long():
    chat().invoke("long " * 20_000)


def one_among_others():
    """One call in a trace with every other kind of span."""
    tracer = trace.get_tracer("the application's own")
    with tracer.start_as_current_span("one trace"):
        urllib3.PoolManager().request("GET", os.environ["HEALTH_URL"])
        sqlite3.connect(":memory:").cursor().execute("SELECT 1")
        embeddings = {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "text-embedding-3-small"}
        with tracer.start_as_current_span("embeddings text-embedding-3-small", attributes=embeddings):
            pass
        Library().invoke("wheels")
        weather.invoke({"city": "Bergen"})
        chain = ChatPromptTemplate.from_template("In a chain: {what}") | chat() | StrOutputParser()
        chain.invoke({"what": "wheels"})


for calls in (plain, streamed, several, with_tool, completions, failing, long, one_among_others):
    calls()
