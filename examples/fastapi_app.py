"""A web service that answers questions. It asks OpenAI, or with OPENAI_BASE_URL any compatible server."""

import os

from fastapi import FastAPI
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

app = FastAPI()
model = ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))


class Question(BaseModel):
    text: str


@app.post("/answers")
async def answer(question: Question):
    instructions = SystemMessage("You answer customers of Northwind Bikes. Be friendly and exact.")
    message = await model.ainvoke([instructions, HumanMessage(question.text)])
    return {"answer": message.content}
