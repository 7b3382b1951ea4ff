"""Routes that control trainings of this computer: signals to runs, the queue, forms and checks."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minicaffe.errors import UsageError
from minicaffe.runs.record import RUNNING, stored_record
from minicaffe.web.application import json_body, json_response
from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.jobs.check import TrainingCheck
from minicaffe.web.jobs.control import RunActions, RunControl
from minicaffe.web.jobs.forms import CommandForm, PlaceOfJob, folder_below, working_folder
from minicaffe.web.jobs.job import Job
from minicaffe.web.jobs.offers import form_offers
from minicaffe.web.jobs.queue import JobQueue, JobRefused

_LOG_BYTES = 1 << 20  # of a log in one answer
_ONLY_SHOWS = "this board only shows: it was started with --no_control"
# Of these the solver tells where they run, of others it is the folder of the board.
_OF_SOLVERS = {"train": "solver_file", "check": "solver"}


class JobRoutes:
    """Answers requests about jobs.

    Parameters
    ----------
    folder : BoardFolder
    forms : mapping of str to CommandForm
        By command.
    limit : int
        The largest number of jobs that run at a time; 0 if this board only shows.
    """

    def __init__(self, folder: BoardFolder, forms: Mapping[str, CommandForm], limit: int) -> None:
        self.queue = JobQueue(folder, list(forms))
        self._folder, self._forms, self._limit = folder, forms, limit
        self._control = RunControl(folder, self.queue, self._safe_words)
        self._check = TrainingCheck()

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/run/control", self._run_control),
            Route("/run/{action:str}", self._changing(self._tell), methods=["POST"]),
            Route("/jobs", self._jobs),
            Route("/jobs", self._changing(self._add), methods=["POST"]),
            Route("/jobs", self._changing(self._end), methods=["DELETE"]),
            Route("/jobs/order", self._changing(self._order), methods=["POST"]),
            Route("/job/log", self._log),
            Route("/projects", self._projects),
            Route("/checks", self._changing(self._find), methods=["POST"]),
        ]

    def _changing(
        self, handle: Callable[[Request, Mapping[str, object]], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return a handler that reads JSON and runs in a thread; it refuses if it may not."""

        @functools.wraps(handle)
        async def answer(request: Request) -> Response:
            if not self._limit:
                raise HTTPException(403, _ONLY_SHOWS)
            body = await json_body(request)
            try:
                return await run_in_threadpool(handle, request, body)
            except JobRefused as error:
                raise HTTPException(409, str(error)) from error

        return answer

    def _run_control(self, request: Request) -> Response:
        name = request.query_params.get("run", "")
        if not self._limit:
            state = stored_record(self._folder.run(name)).state
            actions = RunActions(_ONLY_SHOWS, _ONLY_SHOWS, _ONLY_SHOWS, "", state == RUNNING)
            return json_response(asdict(actions))
        return json_response(asdict(self._control.actions(name)))

    def _tell(self, request: Request, body: Mapping[str, object]) -> Response:
        name, action = request.query_params.get("run", ""), request.path_params["action"]
        if action == "resume":
            return json_response(_entry(self._control.resume(name)), 201)
        if action not in ("stop", "snapshot"):
            raise HTTPException(404, f"no action {action}")
        (self._control.request_stop if action == "stop" else self._control.request_snapshot)(name)
        return json_response({"run": name, "action": action}, 202)

    def _jobs(self, request: Request) -> Response:
        jobs = [_entry(job) for job in self.queue.jobs()]
        facts = {"is_allowed": self._limit > 0, "limit": self._limit, "problem": self.queue.problem}
        return json_response({**facts, "jobs": jobs})

    def _add(self, request: Request, body: Mapping[str, object]) -> Response:
        if "again" in body:
            return json_response(_entry(self.queue.repeat(self._known(body["again"]))), 201)
        words, place = self._command(body)
        return json_response(_entry(self.queue.enqueue(words, place)), 201)

    def _end(self, request: Request, body: Mapping[str, object]) -> Response:
        number = self._known(request.query_params.get("id", ""))
        if request.query_params.get("forget"):
            self.queue.remove_ended(number)
        else:
            self.queue.cancel(number, at_once=bool(request.query_params.get("at_once")))
        return json_response({"id": number})

    def _order(self, request: Request, body: Mapping[str, object]) -> Response:
        numbers = body.get("ids")
        if not isinstance(numbers, list):
            raise HTTPException(400, '"ids" must be the numbers of jobs, in their new order')
        self.queue.order([_number(one) for one in numbers])
        return self._jobs(request)

    def _log(self, request: Request) -> Response:
        number = self._known(request.query_params.get("id", ""))
        after = _number(request.query_params.get("after", "0"))
        try:
            with self.queue.log_path(number).open("rb") as file:
                file.seek(after)
                data = file.read(_LOG_BYTES)
        except OSError:
            data = b""
        text = data.decode("utf-8", "replace")
        return json_response({"text": text, "next": after + len(data)})

    def _projects(self, request: Request) -> Response:
        offers = form_offers(self._folder)
        forms = {
            command: [asdict(field) for field in form.visible_fields()]
            for command, form in self._forms.items()
        }
        facts = {"is_allowed": self._limit > 0, "folder": str(self._folder.root), "forms": forms}
        return json_response({**facts, **asdict(offers)})

    def _find(self, request: Request, body: Mapping[str, object]) -> Response:
        values = body.get("values")
        if not isinstance(values, dict):
            raise HTTPException(400, '"values" must be those of the form of train')
        # Other values of the form, as --patience and --tensorboard, have no meaning for check.
        known = {field.name for field in self._forms["check"].fields}
        of_check = {name: value for name, value in values.items() if name in known}
        of_check["solver"] = values.get("solver_file")
        words, place = self._command({**body, "command": "check", "values": of_check})
        return json_response(asdict(self._check.result(words, place)))

    def _known(self, value: object) -> int:
        """Return the number of a job that there is."""
        number = _number(value)
        if all(job.number != number for job in self.queue.jobs()):
            raise HTTPException(404, f"no job {number}")
        return number

    def _command(self, body: Mapping[str, object]) -> tuple[list[str], Path]:
        """Return the words of a command and the folder in which it runs."""
        command, values, where = (body.get(key) for key in ("command", "values", "folder"))
        form = self._forms.get(str(command))
        if form is None:
            raise UsageError(f"no command {command}. Known: {', '.join(self._forms)}.")
        if not isinstance(values, dict):
            raise HTTPException(400, '"values" must be an object')
        place = self._folder.root
        if where:
            place = folder_below(self._folder, str(where))
        elif solver := values.get(_OF_SOLVERS.get(form.command, "")):
            place = working_folder(self._folder, self._folder.path_below(str(solver)))
        return form.command_line(values, PlaceOfJob(self._folder, self._folder.root, place)), place

    def _safe_words(self, words: Sequence[str], place: Path) -> list[str]:
        """Return the words of a command from outside with paths that were checked."""
        form = self._forms.get(words[0] if words else "")
        if form is None or form.command != "train":
            raise JobRefused("it was not started by train")
        values = form.parse(words[1:])
        return form.command_line(values, PlaceOfJob(self._folder, place, place))


def _entry(job: Job) -> dict[str, object]:
    """Return a job for the page."""
    arguments = [word for word in job.words[1:] if not word.startswith("--")]
    return {
        "id": job.number,
        "command": job.command,
        "kind": job.words[0],
        **{
            name: getattr(job, name)
            for name in ("folder", "state", "created", "started", "ended", "exit_code", "error")
        },
        "run": job.run,
        "project": arguments[0] if job.words[0] == "new" and arguments else "",
        "is_stopping": job.is_cancelled and not job.ended,
    }


def _number(value: object) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 53:
        raise HTTPException(400, f"{value!r} is no number")
    return number
