"""`python -m tests.bench.record FILE`: the calls of each request, and the answers.

moto answers; the file is JSON, for `responder` to play and `beside_floor` to measure.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from infra.local import backend
from infra.local.gateway import event
from tests.bench.responder import ENVIRONMENT

PROPERTIES = {
    "os_distro": "ubuntu",
    "os_version": "24.04",
    "hw_disk_bus": "scsi",
    "hw_scsi_model": "virtio-scsi",
    "architecture": "x86_64",
    "img_config_drive": "mandatory",
}
MEMBERS = 100
IMAGES = 25


def record() -> dict[str, Any]:
    """Make images and members, and record a request of each kind."""
    backend.start()
    import app as service  # noqa: PLC0415 - after moto is in the place of AWS
    from chalicelib.store import dynamodb  # noqa: PLC0415 - as above

    client = dynamodb.connection.connection.client
    backend.create_table(client, dynamodb.connection.table_name)

    def request(who: str, method: str, target: str, document: Any = None) -> Any:
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Host": "images.example.org",
            "X-Auth-Token": f"someone:{who}:member",
        }
        body = b"" if document is None else json.dumps(document).encode()
        return event(service.app.routes, method, target, headers, body)

    def send(*asked: Any) -> Any:
        answer = service.app(request(*asked), None)
        assert int(answer["statusCode"]) < 300, answer
        return json.loads(answer["body"])

    new = {"disk_format": "qcow2", "container_format": "bare", **PROPERTIES}
    images = [
        "/v2/images/"
        + send("producer", "POST", "/v2/images", {"name": f"{n}", **new})["id"]
        for n in range(IMAGES)
    ]
    shared, crowded, lonely, *_ = images
    send("producer", "POST", f"{shared}/members", {"member": "consumer"})
    for number in range(MEMBERS):
        send("producer", "POST", f"{crowded}/members", {"member": f"{number:032x}"})
    answer_of = f"{shared}/members/consumer"
    requests = {
        "show image": request("consumer", "GET", shared),
        "list of 25": request("producer", "GET", "/v2/images"),
        "members of 100": request("producer", "GET", f"{crowded}/members"),
        "set status": request("consumer", "PUT", answer_of, {"status": "accepted"}),
        "create image": request("producer", "POST", "/v2/images", new),
        "add member": request(
            "producer", "POST", f"{lonely}/members", {"member": "consumer"}
        ),
    }
    calls: dict[str, list[Any]] = {}
    said: list[Any] = []
    of_request: list[Any] = []

    def note_call(model: Any, params: Any, context: Any, **_: Any) -> None:
        context["asked"] = json.loads(params["body"])
        of_request.append([model.name, context["asked"]])

    def note_answer(http_response: Any, model: Any, context: Any, **_: Any) -> None:
        said.append([model.name, context["asked"], http_response.text])

    client.meta.events.register("before-call.dynamodb.*", note_call)
    client.meta.events.register("after-call.dynamodb.*", note_answer)
    for name, made in requests.items():
        of_request.clear()
        service.app(json.loads(json.dumps(made)), None)
        calls[name] = list(of_request)
    return {"requests": requests, "calls": calls, "said": said}


if __name__ == "__main__":
    os.environ.update(ENVIRONMENT)
    Path(sys.argv[1]).write_text(json.dumps(record()), "utf-8")
