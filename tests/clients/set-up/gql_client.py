"""PyPI gql (pip install "gql[aiohttp,websockets]"): sends a message, and reads the reply through lost connections.

python gql_client.py http://127.0.0.1:8000/graphql ACCESS_TOKEN
"""

import asyncio
import json
import sys

from gql import Client, GraphQLRequest, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportConnectionFailed
from gql.transport.websockets import WebsocketsTransport

SEND_MESSAGE = gql("""
  mutation ($input: SendMessageInput!) {
    sendMessage(input: $input) { reply { id } }
  }
""")

REPLY = gql("""
  subscription ($messageId: ID!, $after: Int) {
    reply(messageId: $messageId, after: $after) {
      start position
      ... on ReplyText { text }
      ... on ReplyFinished { message { id status content } }
      __typename
    }
  }
""")


async def send_message(url, authorization, message):
    transport = AIOHTTPTransport(url=url, headers=authorization)
    async with Client(transport=transport) as session:
        request = GraphQLRequest(SEND_MESSAGE, variable_values={"input": message})
        return (await session.execute(request))["sendMessage"]["reply"]["id"]


async def read_reply(url, authorization, message_id):
    """Yields each event once, in order. A new connection requests the events after the last received position."""
    after = None
    while True:
        transport = WebsocketsTransport(
            url=url.replace("http", "ws", 1),
            init_payload=authorization,
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
        )
        try:
            async with Client(transport=transport) as session:
                variables = {"messageId": message_id, "after": after}
                async for data in session.subscribe(GraphQLRequest(REPLY, variable_values=variables)):
                    event = data["reply"]
                    after = event["position"]
                    yield event
                    if event["__typename"] == "ReplyFinished":
                        return
        except (TransportConnectionFailed, OSError):
            await asyncio.sleep(0.3)


async def main(url, access_token):
    authorization = {"Authorization": f"Bearer {access_token}"}
    message = {"newChat": {"modelId": "demo"}, "content": "Hello from Python: Grüße, 世界!"}
    message_id = await send_message(url, authorization, message)
    async for event in read_reply(url, authorization, message_id):
        print(json.dumps(event), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
