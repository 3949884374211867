"""A LangGraph agent with two tools. It asks OpenAI, or with OPENAI_BASE_URL any compatible server."""

import os
import sys

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def order_status(order_number: str) -> str:
    """Look up where an order is, by its number."""
    return f"Order {order_number}: handed to the carrier on Monday, expected on Thursday between 9 and 12."


@tool
def opening_hours(weekday: str) -> str:
    """Look up when the shop is open."""
    return "closed" if weekday.lower() == "sunday" else "9 to 18 o'clock"


agent = create_agent(
    ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini")),
    tools=[order_status, opening_hours],
    system_prompt="You answer customers of Northwind Bikes. Be friendly and exact.",
)

question = " ".join(sys.argv[1:]) or "Where is my order 20417?"
# What stands in `metadata` becomes columns in Label Studio: thread_id, session_id, user_id.
config = {"metadata": {"thread_id": "conversation-7", "user_id": "customer-42"}}
result = agent.invoke({"messages": [{"role": "user", "content": question}]}, config=config)
print(result["messages"][-1].content)
