"""The limit of the bodies of all requests together."""

import asyncio
import json

from starlette.responses import PlainTextResponse

from minicaffe.web.request_limits import BodyLimit, RequestLimits


def test_bodies_of_requests_in_progress_are_counted_together():
    may_end = asyncio.Event()

    async def application(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        if scope["path"] == "/slow":
            await may_end.wait()
        await PlainTextResponse("done")(scope, receive, send)

    limited = BodyLimit(application, RequestLimits(body_bytes=60, total_bytes=100))

    async def request(path, n):
        messages = [
            {"type": "http.request", "body": bytes(n // 2), "more_body": k == 0} for k in (0, 1)
        ]
        sent = []

        async def receive():
            return messages.pop(0)

        async def send(message):
            sent.append(message)

        await limited({"type": "http", "path": path, "headers": []}, receive, send)
        return sent[0]["status"], sent[1]["body"]

    async def scenario():
        slow = asyncio.create_task(request("/slow", 60))
        await asyncio.sleep(0)
        assert await request("/", 30) == (200, b"done")
        status, body = await request("/", 50)
        assert (status, json.loads(body)) == (503, {"error": "Too many large requests at once."})
        assert (await request("/", 62))[0] == 413
        assert await request("/", 40) == (200, b"done")
        may_end.set()
        assert await slow == (200, b"done")
        assert await request("/", 60) == (200, b"done")

    asyncio.run(scenario())
