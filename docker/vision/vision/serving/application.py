"""The addresses: who may ask what, and in which form it is answered."""

import contextlib
import sys
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import orjson
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

import strandline_contract as contract
from vision.serving import metrics, openapi, protocol
from vision.serving.consumers import Caller
from vision.serving.model import Model
from vision.serving.picture import Picture
from vision.serving.problems import Problem
from vision.serving.service import Service, problem, result
from vision.serving.settings import Settings

Handler = Callable[[Request], Awaitable[Response]]
CHAMPION = "champion"
KEY = openapi.KEY.lower()
PAGE = Path(__file__).with_name("page")
PAGE_FILES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
HARDENED = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
MAX_LABEL = 200  # characters


class Application(Router):
    """What uvicorn runs; its service lives as long as it does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.service: Service
        nothing = _Endpoint(self, "-", "", _nothing)
        super().__init__(_routes(self), redirect_slashes=False, default=nothing, lifespan=self._live)

    @contextlib.asynccontextmanager
    async def _live(self, _: object) -> AsyncIterator[None]:
        self.service = Service(self._settings)
        await self.service.start()
        yield
        await self.service.stop()


class _Endpoint:
    """An address: what its handler gives or raises is answered, and counted. Given to the router as it is, since each
    layer that Starlette would put around it costs a twentieth of what a small picture does.
    """

    def __init__(self, application: Application, path: str, method: str, handler: Handler) -> None:
        self._application, self._path, self._method, self._handler = application, path, method, handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request.state.consumer, request.state.is_read = "-", scope["method"] in ("GET", "HEAD")
        request.state.service = self._application.service
        with contextlib.suppress(ClientDisconnect):  # nobody is there to be told
            response = await self._answer(request)
            status = str(response.status_code)
            metrics.child(metrics.REQUESTS, self._path, request.state.consumer, status).inc()  # type: ignore[attr-defined]
            await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            if self._method and request.method not in (self._method, "HEAD" if self._method == "GET" else None):
                raise Problem("METHOD_NOT_ALLOWED", f"{request.url.path} takes {self._method}")
            return await self._handler(request)
        except Problem as error:
            return await _told(request, error)
        except ClientDisconnect:
            raise
        except Exception:  # noqa: BLE001 - the caller gets an answer, and the log says why
            traceback.print_exc(file=sys.stderr)
            return await _told(request, Problem("FAILED", "this should not have happened; the service's log says more"))


async def _told(request: Request, error: Problem) -> Response:
    """The problem, once the caller has ears for it; if it sends too much, the connection ends there."""
    response = error.response()
    if error.status == 408 or not await _service(request).bodies.discard(request):
        response.headers["connection"] = "close"
    return response


def _routes(application: Application) -> list[Route]:
    model = "/v2/models/{name}"
    version = model + "/versions/{version}"
    addresses: list[tuple[str, str, Handler]] = [
        ("/classify", "POST", _classify),
        *((f"{base}/infer", "POST", _infer) for base in (model, version)),
        ("/feedback", "POST", _feedback),
        ("/v2/health/live", "GET", _live),
        ("/v2/health/ready", "GET", _ready),
        ("/v2", "GET", _server),
        *((f"{base}/ready", "GET", _model_ready) for base in (model, version)),
        *((base, "GET", _model) for base in (model, version)),
        ("/metrics", "GET", _metrics),
        ("/openapi.json", "GET", _openapi),
        ("/docs", "GET", _docs),
        *((path, "GET", _page) for path in PAGE_FILES),
    ]
    return [Route(path, _Endpoint(application, path, method, handler)) for path, method, handler in addresses]


async def _nothing(request: Request) -> Response:
    raise Problem("NOT_FOUND", f"{request.url.path}: /docs says what there is")


async def _classify(request: Request) -> Response:
    service, caller = _caller(request)
    body = await service.bodies.read(request)
    arrived = time.perf_counter()
    try:
        several = request.headers.get("content-type", "").startswith("multipart/form-data")
        files = await service.bodies.files(request, body) if several else [("", body)]
        answering = await service.deployment.answering(caller, _key(request, caller), lambda _: True)
        pictures = service.files(answering, caller.name, files, arrived)
        await service.answer(pictures)
    finally:
        service.bodies.release(body)
    _measure(pictures)
    if len(pictures) == 1:
        [picture] = pictures
        return _json(result(picture)) if _is_answered(picture) else problem(picture).response()
    return _json({"results": [{"file": picture.name, **result(picture)} for picture in pictures]})


async def _infer(request: Request) -> Response:
    service, caller = _caller(request)
    body = await service.bodies.read(request)
    arrived = time.perf_counter()
    try:
        most = service.settings.max_pictures
        asked = protocol.parse(body, request.headers.get(protocol.HEADER_LENGTH), most)
        answering = await service.deployment.answering(caller, _key(request, caller), partial(_is_named, request))
        model = _named(answering.model, request)
        if asked.shape is None:
            pictures = service.files(answering, caller.name, [("", data) for data in asked.images], arrived)
        else:
            pictures = service.pixels(answering, caller.name, asked.images, asked.shape, arrived)
        await service.answer(pictures)
    finally:
        service.bodies.release(body)
    _measure(pictures)
    if all(map(_is_answered, pictures)):
        records = [picture.record for picture in pictures if picture.record]
        return protocol.response(asked, request.path_params["name"], model.version, records)
    return _of_several(pictures).response()


async def _feedback(request: Request) -> Response:
    service, caller = _caller(request)
    body = await service.bodies.read(request)
    service.bodies.release(body)
    prediction_id, label = _parse_feedback(body)
    try:
        service.recorder.feedback(caller.name, prediction_id, label)
    except OSError as error:
        raise Problem("NOT_RECORDED", "the feedback cannot be recorded", 5) from error
    return _json({"prediction_id": prediction_id, "label": label}, 202)


def _parse_feedback(body: bytes) -> tuple[str, str]:
    try:
        said = orjson.loads(body)
        prediction_id, label = str(uuid.UUID(said["prediction_id"])), said["label"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Problem("BAD_REQUEST", 'feedback is {"prediction_id": ..., "label": ...}') from error
    if not isinstance(label, str) or not 0 < len(label) <= MAX_LABEL or not label.isprintable():
        raise Problem("BAD_REQUEST", f"a label has 1 to {MAX_LABEL} printable characters")
    return prediction_id, label


async def _live(request: Request) -> Response:
    return _json({"live": True})


async def _ready(request: Request) -> Response:
    detail = _service(request).deployment.detail()
    return _json(detail, 200 if detail["ready"] else 503)


async def _server(request: Request) -> Response:
    return _json({"name": "strandline-serve", "version": openapi.VERSION, "extensions": ["binary_tensor_data"]})


async def _model(request: Request) -> Response:
    model = _named(_champion(request), request)
    versions = _service(request).deployment.versions()
    return _json(protocol.metadata(request.path_params["name"], versions, len(model.classes)))


async def _model_ready(request: Request) -> Response:
    model = _named(_champion(request), request)
    return _json({"name": request.path_params["name"], "version": model.version, "ready": True})


async def _metrics(request: Request) -> Response:
    _service(request).measure()
    return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _openapi(request: Request) -> Response:
    return _json(openapi.document(_service(request).settings))


async def _docs(request: Request) -> Response:
    page = openapi.page(openapi.document(_service(request).settings))
    return Response(page, headers=HARDENED, media_type="text/html")


async def _page(request: Request) -> Response:
    name, media_type = PAGE_FILES[request.url.path]
    return Response((PAGE / name).read_bytes(), headers=HARDENED, media_type=media_type)


def _service(request: Request) -> Service:
    service: Service = request.state.service
    return service


def _caller(request: Request) -> tuple[Service, Caller]:
    """
    Raises:
        Problem: it is nobody, or one that asks too often.
    """
    service = _service(request)
    caller = service.deployment.consumers.caller(request.headers.get("authorization"))
    request.state.consumer = caller.name
    return service, caller


def _key(request: Request, caller: Caller) -> str:
    """What stands for whoever the caller asks for."""
    if key := request.headers.get(KEY):
        return key
    if caller.name != contract.ANONYMOUS:
        return caller.name
    return request.client.host if request.client else caller.name


def _champion(request: Request) -> Model:
    champion = _service(request).deployment.champion
    if champion is None:
        raise Problem("NOT_READY", "no version is ready yet", 2)
    return champion


def _named(model: Model, request: Request) -> Model:
    """The model, if it is the one that the address names: nobody gets the answer of another one.

    Raises:
        Problem: it is not.
    """
    if not _is_named(request, model):
        name, version = request.path_params["name"], request.path_params.get("version", "")
        raise Problem("NOT_FOUND", f"what answers you is version {model.version} of {model.name}, not {name} {version}")
    return model


def _is_named(request: Request, model: Model) -> bool:
    """Whether the address leads to this model."""
    name, version = request.path_params["name"], request.path_params.get("version", model.version)
    return name in (CHAMPION, model.name) and version == model.version


def _of_several(pictures: list[Picture]) -> Problem:
    problems = [problem(picture) for picture in pictures if not _is_answered(picture)]
    results = [result(picture) for picture in pictures]
    first = problems[0]
    if len(pictures) == 1:
        return first
    reason = first.reason if first.status != 422 else "PICTURE_REFUSED"
    said = f"{len(problems)} of {len(pictures)} pictures have no answer, the first one: {first.reason}: {first.detail}"
    return Problem(reason, said, first.retry_after, results=results)


def _is_answered(picture: Picture) -> bool:
    return picture.record is not None and picture.record.label is not None


def _measure(pictures: list[Picture]) -> None:
    [first, *_] = pictures
    seconds = time.perf_counter() - first.arrived
    metrics.child(metrics.LATENCY, first.model.version, first.consumer).observe(seconds)  # type: ignore[attr-defined]


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
