"""Typed values and class entities: what is in stock, who has reserved it, and receipts with money and dates.

The workflow is written twice, as a generator and as `async def`. Both do the same; use the style you like.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Literal

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


class Speed(Enum):
    """How fast an order is to come."""

    STANDARD = "standard"
    EXPRESS = "express"


@dataclass
class Line:
    """Something that is ordered."""

    sku: str
    count: int
    price: Decimal


@dataclass
class Card:
    """Payment by card."""

    number: str
    kind: Literal["card"] = "card"


@dataclass
class Invoice:
    """Payment on account."""

    customer: int
    kind: Literal["invoice"] = "invoice"


@dataclass
class Order:
    """What is sent to the workflow."""

    lines: list[Line]
    payment: Card | Invoice
    speed: Speed = Speed.STANDARD


@dataclass
class Receipt:
    """What the workflow gives."""

    total: Decimal
    paid_by: str
    arrives: date
    left: dict[str, int] = field(default_factory=dict)


@app.entity_trigger(context_name="context")
@dataclass
class Stock(df.DurableEntity):
    """How much there is of one article; its key is the article's number."""

    count: int = 0
    last_change: datetime | None = None

    @df.operation
    def receive(self, count: int) -> int:
        """Puts some in; gives how many there are."""
        self._change(count)
        return self.count

    @df.operation
    def take(self, count: int) -> int:
        """Takes some out, if enough is left; gives how many there are."""
        self._change(-count)
        if self.count < 0:  # the change is taken back
            raise ValueError(f"{self.count + count} left, {count} wanted")
        return self.count

    def _change(self, by: int) -> None:
        """No operation: nobody else can call it."""
        self.count += by
        self.last_change = datetime.now(UTC)


@app.activity_trigger(input_name="order")
def price(order: Order) -> Receipt:
    """What an order comes to: typed values in, typed values out."""
    days = 1 if order.speed is Speed.EXPRESS else 3
    match order.payment:
        case Card(number):
            paid_by = f"card {number[-4:]}"
        case Invoice(customer):
            paid_by = f"customer {customer}"
    total = sum((line.price * line.count for line in order.lines), Decimal(0))
    return Receipt(total, paid_by, date(2026, 1, 1) + timedelta(days=days))


@app.orchestration_trigger(context_name="context")
async def buy(context: df.DurableOrchestrationContext[Order]) -> Receipt:
    """Takes everything that is ordered out of stock at once, or nothing."""
    order = context.get_input()
    receipt = await context.call_activity(price, order)
    stocks = {line.sku: context.entity(Stock, line.sku) for line in order.lines}
    async with context.lock(*stocks.values()):
        for line in order.lines:
            receipt.left[line.sku] = await stocks[line.sku].take(line.count)
    return receipt


@app.orchestration_trigger(context_name="context")
def buy_steps(context: df.DurableOrchestrationContext[Order]):
    """The same as a generator."""
    order = context.get_input()
    receipt = yield from context.call_activity(price, order)
    stocks = {line.sku: context.entity(Stock, line.sku) for line in order.lines}
    with (yield context.lock_entities(*stocks.values())):
        for line in order.lines:
            receipt.left[line.sku] = yield from stocks[line.sku].take(line.count)
    return receipt


@app.route(route="orchestrators/{functionName}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Starts the orchestrator named in the URL, with the body of the request, if any, as its input."""
    try:
        body = req.get_json() if req.get_body() else None
    except ValueError as error:
        return func.HttpResponse(f"The body must be JSON: {error}", status_code=400)
    instance_id = await client.start_new(req.route_params["functionName"], client_input=body)
    return client.create_check_status_response(req, instance_id)


@app.route(route="receipts/{instanceId}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def receipt_text(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """The receipt of an order that has been bought, for people."""
    status = await client.get_status(req.route_params["instanceId"])
    try:
        receipt = status.get_output(Receipt)
    except ValueError as error:
        return func.HttpResponse(str(error), status_code=404)
    return func.HttpResponse(f"{receipt.total} by {receipt.paid_by}, arrives on {receipt.arrives:%A}")


@app.route(route="stock/{sku}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def receive(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Puts as many as the body says into stock, without waiting for it."""
    try:
        count = int(req.get_body())
    except ValueError:
        return func.HttpResponse("The body must be a whole number.", status_code=400)
    await client.entity(Stock, req.route_params["sku"]).signal.receive(count)
    return func.HttpResponse(status_code=202)


@app.route(route="stock/{sku}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def in_stock(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """How many there are."""
    stock = await client.entity(Stock, req.route_params["sku"]).state()
    if stock is None:
        return func.HttpResponse("We have never had that.", status_code=404)
    return func.HttpResponse(str(stock.count))
