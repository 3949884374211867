"""A plain LangChain program: a completion model, a chat model, and a chain whose model calls a tool.

It knows nothing of OpenTelemetry or Label Studio. With OPENAI_API_KEY set it asks OpenAI, or with OPENAI_BASE_URL
any compatible server, for the model named by OPENAI_MODEL; without, LangChain's own fake models answer.
"""

import os

from langchain_core.language_models import FakeListChatModel, FakeListLLM, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.tools import tool

SUPPORT = "You answer customers of Northwind Bikes. Be friendly, be exact, and use three sentences at most."


@tool
def order_status(order_number: str) -> str:
    """Look up where an order is, by its number."""
    return f"Order {order_number}: handed to the carrier on Monday, expected on Thursday between 9 and 12."


def describe_product(model):
    """One completion: a prompt as text, the answer as text."""
    prompt = PromptTemplate.from_template(
        "Write a two-sentence description for an online shop.\n\nProduct: {product}\nFor: {audience}\n\nDescription:"
    )
    chain = prompt | model
    return chain.invoke({"product": "Fjord 2, a folding bicycle of 10.5 kg", "audience": "people who change trains"})


def answer_customer(model):
    """One chat call: a system message and a question."""
    question = "My bike arrived with a bent front wheel. I need it for a trip on Saturday! What can I do?"
    return model.invoke([SystemMessage(SUPPORT), HumanMessage(question)]).content


def track_order(model):
    """A chain with a tool: the model asks for the tool, gets its result, and answers."""
    prompt = ChatPromptTemplate.from_messages([("system", SUPPORT), ("human", "{question}"), ("placeholder", "{steps}")])
    chain = prompt | model.bind_tools([order_status])
    steps = []
    for _ in range(5):
        message = chain.invoke({"question": "Where is my order 20417? Will it be here by Friday?", "steps": steps})
        if not message.tool_calls:
            break
        results = [ToolMessage(order_status.invoke(call["args"]), tool_call_id=call["id"]) for call in message.tool_calls]
        steps += [message, *results]
    return message.content


class FakeToolChatModel(GenericFakeChatModel):
    """LangChain's fake chat model, which may also be told of tools."""

    def bind_tools(self, tools, **kwargs):
        return self


def openai_models():
    from langchain_openai import ChatOpenAI, OpenAI

    chat = ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))
    return OpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-3.5-turbo-instruct")), chat, chat


def fake_models():
    completion = FakeListLLM(
        responses=[
            "The Fjord 2 folds in ten seconds and weighs 10.5 kg, so it goes under the seat of any train. "
            "Unfold it on the platform and be at work before the bus leaves."
        ]
    )
    chat = FakeListChatModel(
        responses=[
            "I'm sorry that your new bike arrived damaged, and so close to your trip. Please send us a photo of the "
            "wheel and your order number today: we ship a new front wheel by express, and it reaches you by Friday. "
            "Any bike shop can swap it in minutes, and we pay the bill."
        ]
    )
    lookup = {"name": "order_status", "args": {"order_number": "20417"}, "id": "call_1"}
    with_tool = FakeToolChatModel(
        messages=iter(
            [
                AIMessage("", tool_calls=[lookup]),
                AIMessage("Yes: order 20417 left our warehouse on Monday and comes on Thursday between 9 and 12."),
            ]
        )
    )
    return completion, chat, with_tool


def main():
    completion, chat, chat_with_tool = openai_models() if os.environ.get("OPENAI_API_KEY") else fake_models()
    print("Product description:", describe_product(completion))
    print("Answer to a customer:", answer_customer(chat))
    print("Order status:", track_order(chat_with_tool))


if __name__ == "__main__":
    main()
