"""Where a pipeline writes its lines, and how they are read again."""

import base64
import json
import os
import urllib.request


class Files:
    """The folders of --output."""

    def __init__(self, folder):
        self.folder = folder

    def lines(self, table):
        return [line for file in (self.folder / table).glob("*.ndjson") for line in file.read_text().splitlines()]


class Topic:
    """The topic of rows that `aqueduct setup` has created in the emulator, with a subscription that has everything that is
    published from now on."""

    KINDS = {"rows": "row", "progress": "progress", "dead_letters": "dead_letter"}

    def __init__(self, project, name):
        self.project, self.name = project, name
        # By message ID, as the emulator may deliver a message twice.
        self.messages = {}
        self._request("PUT", f"subscriptions/{name}", {"topic": f"projects/{project}/topics/{name}"})

    def _request(self, method, path, body):
        url = f"http://{os.environ['PUBSUB_EMULATOR_HOST']}/v1/projects/{self.project}/{path}"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data=json.dumps(body).encode(), method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"{}")

    def pull(self):
        """Takes everything that is there now."""
        while received := self._request(
                "POST", f"subscriptions/{self.name}:pull", {"maxMessages": 1000, "returnImmediately": True}).get("receivedMessages"):
            self._request("POST", f"subscriptions/{self.name}:acknowledge", {"ackIds": [one["ackId"] for one in received]})
            for message in (one["message"] for one in received):
                self.messages[message["messageId"]] = message

    def lines(self, table):
        self.pull()
        of_table = [one for one in self.messages.values() if one["attributes"]["kind"] == self.KINDS[table]]
        return [base64.b64decode(one["data"]).decode() for one in of_table]

    def wrong_keys(self, flows):
        """The rows whose ordering key or attributes are not those of the row."""
        wrong = []
        for one in self.messages.values():
            row = json.loads(base64.b64decode(one["data"]))
            attributes = one["attributes"]
            if attributes["kind"] == "row":
                key = [row["flow"], *(row[column] for column in flows[row["flow"]]["by"])]
                is_right = json.loads(one["orderingKey"]) == key and attributes["flow"] == row["flow"]
                if not is_right or attributes["pane"] != row["pane"]:
                    wrong.append(f"  {one['orderingKey']} {attributes} of {row}")
        return wrong
