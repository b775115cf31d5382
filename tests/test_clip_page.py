"""The page as others on the machine, and pages of other sites, meet it: by requests that no browser of ours makes."""

import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chromium
import pytest
from accessibility import faults
from pictures import drawn
from PIL import Image

from clip import embed, enclosure, loading, serving
from clip.apps import page, tabs
from clip.apps.predict import Classifier, Finding
from clip.model import checkpoints
from clip.model.encoders import ClipConfig, ImageTower, TextTower, build
from synth import phantom
from synth.base import checkpoint
from synth.base.errors import UserError
from synth.data.images import Preprocessing, encode

MODEL = ClipConfig(
    image=ImageTower(layers=(1, 1, 1, 1), width=8),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    embedding=32,
    preprocessing=Preprocessing(size=32),
)
FILE_DATA = {"meta": {"_type": "gradio.FileData"}}


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()


def ask(address: str, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """One request, with a Host and an Origin of our own making."""
    asked = http.client.HTTPConnection(address.removeprefix("http://").strip("/"), timeout=300)
    asked.request(
        method, path, body or None, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    answer = Answer(asked.getresponse())
    asked.close()
    return answer


def call(address: str, name: str, *data: Any) -> str:
    """What a function of the page answers, as Gradio sends it."""
    body = json.dumps({"data": data}).encode()
    begun = ask(address, "POST", f"/gradio_api/call/{name}", body, Content_Type="application/json")
    if begun.status != 200:
        return begun.body.decode()
    return ask(address, "GET", f"/gradio_api/call/{name}/{json.loads(begun.body)['event_id']}").body.decode()


def upload(address: str, name: str, content: bytes, **headers: str) -> Answer:
    head = f'--cut\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    kind = "multipart/form-data; boundary=cut"
    return ask(
        address,
        "POST",
        "/gradio_api/upload",
        head + content + b"\r\n--cut--\r\n",
        Content_Type=kind,
        **headers,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "ckpt.pt"
    made = build(MODEL)
    checkpoint.save(path, checkpoints.header(made, images=0, data=None) | {"weights": made.state_dict()})
    return path


@pytest.fixture(scope="module")
def address(model):
    with page.running(Classifier(loading.load_model(model))) as found:
        yield found


@pytest.fixture
def kept(address) -> Path:
    """Where the page keeps what it is given."""
    return Path(os.environ["GRADIO_TEMP_DIR"])


@pytest.fixture
def patient(tmp_path) -> Path:
    """A photograph that nobody uploaded, in a folder that nobody else may read."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    Image.fromarray(drawn(3, 1)).save(folder / "patient.png")
    return folder / "patient.png"


def test_an_uploaded_photograph_is_read_and_shown(address, kept):
    [path] = json.loads(upload(address, "patient 4711.png", encode(drawn(3, 1))).body)
    said = call(address, "read", {"path": path} | FILE_DATA)
    found, _, overlay, _ = json.loads(said.rstrip().rpartition("data: ")[2])
    assert found.count("data-key") == 11
    shown = ask(address, "GET", overlay["url"].removeprefix(address.rstrip("/")))
    assert shown.status == 200 and shown.body == Path(overlay["path"]).read_bytes()
    for file in (Path(path), Path(overlay["path"])):
        assert file.is_relative_to(kept) and file.stat().st_mode & 0o777 == 0o600
    assert kept.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("meta", [{}, FILE_DATA], ids=["plain", "FileData"])
def test_no_picture_is_read_that_nobody_uploaded(meta, address, kept, patient, tmp_path, monkeypatch):
    monkeypatch.chdir(patient.parent)
    (kept / "link.png").symlink_to(patient)
    try:
        places = (patient, "patient.png", "./patient.png", kept / "link.png", kept / ".." / patient.relative_to("/"),
                  f"{kept}/../../../../../../../..{patient}", f"file://{patient}", f"{kept}x/patient.png")  # fmt: skip
        for place in places:
            said = call(address, "read", {"path": str(place)} | meta)
            assert "data-key" not in said and ".webp" not in said, place
            assert ("was not uploaded to this page" in said) == (not meta) or "error" in said
    finally:
        (kept / "link.png").unlink()


def test_what_is_there_and_what_is_not_is_refused_in_the_same_words(address, patient):
    said = {call(address, "read", {"path": str(patient.with_name(name))}).replace(name, "NAME")
            for name in ("patient.png", "absent.png")}  # fmt: skip
    assert len(said) == 1


def test_an_address_in_place_of_a_picture_is_not_fetched(address):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.png"
        for place in (
            {"path": url},
            {"path": url} | FILE_DATA,
            {"path": "", "url": url},
            {"url": url} | FILE_DATA,
        ):
            assert "data-key" not in call(address, "read", place)
        assert ask(address, "GET", f"/gradio_api/file={url}").status == 403
        assert ask(address, "GET", f"/gradio_api/proxy={url}").status == 404
        with pytest.raises(TimeoutError):
            server.accept()


def test_no_file_is_served_but_what_the_page_was_given(address, kept, patient, tmp_path, monkeypatch):
    monkeypatch.chdir(patient.parent)
    (kept / "link.png").symlink_to(patient)
    try:
        for place in (
            patient,
            "patient.png",
            f"{kept}/link.png",
            f"{kept}/../private/patient.png",
            "/etc/passwd",
            "%00",
        ):
            for way in (f"file={place}", f"file/{place}"):
                assert ask(address, "GET", f"/gradio_api/{way}").status in (403, 404), way
    finally:
        (kept / "link.png").unlink()


def test_another_name_is_not_answered(address):
    """A site that rebinds its own name to this machine asks under that name."""
    port = address.rstrip("/").rpartition(":")[2]
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        f"10.0.0.1:{port}",
        "0.0.0.0",
    ):
        for method, path in (
            ("GET", "/"),
            ("GET", "/config"),
            ("POST", "/gradio_api/call/read"),
            ("OPTIONS", "/"),
        ):
            answer = ask(address, method, path, Host=host, Origin=f"http://{host}")
            assert answer.status == 400
            assert "access-control-allow-origin" not in answer.headers
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        assert ask(address, "GET", "/config", Host=host, Origin=f"http://{host}").status == 200


def test_another_sites_page_is_not_answered(address):
    port = address.rstrip("/").rpartition(":")[2]
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        "http://localhost",
        f"https://127.0.0.1:{port}",
    ):
        for method, path in (
            ("GET", "/config"),
            ("POST", "/gradio_api/queue/join"),
            ("OPTIONS", "/gradio_api/upload"),
        ):
            answer = ask(address, method, path, Origin=origin, Access_Control_Request_Method="POST")
            assert answer.status == 403
            assert "access-control-allow-origin" not in answer.headers


def test_too_much_is_refused_before_it_is_taken(address, kept, monkeypatch):
    before = sorted(kept.rglob("*"))
    for size in (10**9, 2 * 2**30, 10**18):
        assert ask(address, "POST", "/gradio_api/upload", Content_Length=str(size)).status == 413
    assert ask(address, "POST", "/gradio_api/queue/join", Content_Length=str(10**7)).status == 413
    assert ask(address, "POST", "/gradio_api/upload", Transfer_Encoding="chunked").status == 411
    (kept / "much").write_bytes(b"0" * 1000)
    monkeypatch.setattr(enclosure, "TOGETHER", 1000)
    answer = upload(address, "a.png", encode(drawn(3, 1)))
    (kept / "much").unlink()
    assert answer.status == 507 and sorted(kept.rglob("*")) == before


def test_no_name_of_a_file_is_kept(address, kept):
    for name in ("Zhang San 4711.png", "patient 4711.Zhang", "4711"):
        [path] = json.loads(upload(address, name, encode(drawn(5, 1))).body)
        assert Path(path).stem == "photograph" and Path(path).suffix in (".png", "")
    names = [path.name for path in kept.rglob("*")]
    assert not [name for name in names if "4711" in name or "Zhang" in name]


def test_an_upload_that_breaks_off_leaves_no_name(address, kept):
    head = b'--cut\r\nContent-Disposition: form-data; name="files"; filename="patient 4711.png"\r\n\r\n'
    port = int(address.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
            b"Content-Type: multipart/form-data; boundary=cut\r\n\r\n" + head + b"0" * 1000
        )
        time.sleep(0.5)
    assert not [path for path in kept.rglob("*") if "4711" in path.name]
    assert ask(address, "GET", "/config").status == 200


def test_uploads_on_their_way_count(address, kept, monkeypatch):
    """Ten that are declared at once, none of which has come, must not pass for none."""
    there = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    monkeypatch.setattr(enclosure, "TOGETHER", there + 1_000_000)
    port = int(address.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n"
            b"Content-Type: multipart/form-data; boundary=cut\r\n\r\n--cut\r\n"
        )
        time.sleep(0.5)
        assert upload(address, "a.png", encode(drawn(3, 1))).status == 507
    wait(lambda: upload(address, "a.png", encode(drawn(3, 1))).status == 200)


def test_two_gigabytes_that_are_sent_are_refused_before_they_are_on_the_disk(address, kept):
    """Whoever sends on regardless is answered once, and cut off."""
    before, port = sorted(kept.rglob("*")), int(address.rstrip("/").rpartition(":")[2])
    head = b'--cut\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    with socket.create_connection(("127.0.0.1", port), timeout=120) as client:
        client.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
            b"Content-Type: multipart/form-data; boundary=cut\r\n\r\n" % (2 * 2**30) + head
        )
        sent = 0
        try:
            while sent < 2 * 2**30:
                sent += client.send(bytes(2**20))
        except OSError:  # the page has hung up
            pass
        assert sent < 2**26
    assert sorted(kept.rglob("*")) == before
    assert ask(address, "GET", "/config").status == 200


def test_a_thousand_requests_at_once_are_refused_and_the_page_lives(address, many_files):
    port = int(address.rstrip("/").rpartition(":")[2])
    line = b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(1000)]
    try:
        for client in clients:
            client.sendall(line)
        time.sleep(1)
        answer = upload(address, "a.png", encode(drawn(3, 1)))
        assert answer.status == 503 and b"try again" in answer.body
    finally:
        for client in clients:
            client.close()
    wait(lambda: upload(address, "a.png", encode(drawn(3, 1))).status == 200)


@pytest.fixture
def many_files():
    """Both ends of a thousand connections are open files of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def shared(model):
    """A page under a name that others reach: no loopback is one here but 127.0.0.1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "_LOOPBACK", re.compile(r"localhost|127\.0\.0\.1"))
        with page.running(Classifier(loading.load_model(model)), host="127.0.0.2") as found:
            yield found


def test_a_page_for_others_asks_for_its_token(shared):
    address, _, token = shared.partition("?token=")
    assert len(token) >= 32
    for path in ("/", "/config", "/gradio_api/info", f"/?token={token[:-1]}", "/?token=", "/theme.css"):
        assert ask(address, "GET", path).status == 401, path
        assert ask(address, "GET", path, Cookie="visionclip=x").status == 401, path
    assert upload(address, "a.png", encode(drawn(3, 1))).status == 401
    opened = ask(address, "GET", f"/?token={token}")
    cookie = opened.headers["set-cookie"]
    assert opened.status == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert opened.headers["referrer-policy"] == "no-referrer"
    assert ask(address, "GET", "/config", Cookie=cookie.partition(";")[0]).status == 200
    assert upload(address, "a.png", encode(drawn(3, 1)), Cookie=cookie.partition(";")[0]).status == 200
    assert ask(address, "GET", f"/?token={token}", Host="evil.example").status == 400


@pytest.mark.skipif(not chromium.PROGRAM, reason="needs Chromium")
@pytest.mark.parametrize(
    "scheme, colours", [("light", "#1f2937; background: #ffffff"), ("dark", "#f3f4f6; background: #0b0f19")]
)
def test_what_is_refused_unreadable_or_to_be_known_can_be_read_in_both_schemes(tmp_path, scheme, colours):
    """In the colours that Gradio gives a page."""
    marks = ('id="notice"', 'id="unreadable"', 'id="refused"', 'class="refused"')
    finding = Finding(
        key="is_gc", zh="青光眼", en="glaucoma", probability=0.5, by_language={"zh": 0.4, "en": 0.6}
    )
    lines = "".join(f"<p {each}>not a fundus photograph</p>" for each in marks)
    lines += page.table([finding])
    sheet = tmp_path / "sheet.html"
    sheet.write_text(
        '<!doctype html><html lang="en"><head><title>page</title><meta name="viewport" content="width=device-width">'
        f'<style>{page._STYLE}</style></head><body class="{scheme}" style="color: {colours}"><main>{lines}</main>'
    )
    with chromium.Browser(tmp_path / "profile") as browser:
        assert [each for each in faults(browser, sheet) if "contrast" in each] == []


@pytest.mark.skipif(not chromium.PROGRAM, reason="needs Chromium")
def test_a_browser_with_the_token_is_answered_and_one_without_is_not(shared, tmp_path):
    Image.fromarray(drawn(3, 1)).save(tmp_path / "patient 4711.png")
    with chromium.Browser(tmp_path / "profile") as browser:
        browser.open(shared.partition("?")[0])
        browser.wait("document.body && document.body.innerText.includes('ends in a token')")
        browser.open(shared)
        browser.wait("!!document.querySelector('#photograph button')")
        browser.drop("#photograph", tmp_path / "patient 4711.png")
        browser.wait("document.querySelectorAll('.finding').length == 11")
        browser.wait("!!document.querySelector('#saliency img')")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "a b", "evil.example/x", "*", "-x"])
def test_a_host_that_names_no_single_address_is_refused(host):
    with pytest.raises(UserError, match="give one name or IPv4 address"):
        serving.check_host(host)


def wait(condition: Any, seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_what_is_kept_goes_with_time(model, monkeypatch):
    assert enclosure.KEPT == (60, 600)
    monkeypatch.setattr(enclosure, "KEPT", (1, 1))
    with page.running(Classifier(loading.load_model(model))) as address:
        [path] = json.loads(upload(address, "old.png", encode(drawn(4, 1))).body)
        assert call(address, "read", {"path": path}).count(".webp") > 0
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        wait(lambda: not [each for each in folder.rglob("*") if each.is_file()])
    assert not folder.exists()


@pytest.mark.slow
def test_nothing_is_left_when_the_page_is_ended(model, tmp_path):
    """`kill`, with a photograph uploaded and answered."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = "import sys; from clip.commands.app import app; sys.argv[0] = 'clip'; app()"
    line = [sys.executable, "-c", program, "demo", "--model", model, "--port", port, "--no-browser"]
    told = tmp_path.parent / "told.txt"
    with told.open("w") as file:
        run = subprocess.Popen(
            [str(word) for word in line], env=os.environ | {"TMPDIR": str(tmp_path)}, stderr=file
        )
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return ask(address, "GET", "/config").status == 200
        except OSError:
            assert run.poll() is None
            return False

    wait(answers)
    [path] = json.loads(upload(address, "patient 4711.png", encode(drawn(3, 1))).body)
    assert call(address, "read", {"path": path}).count(".webp") > 0
    assert Path(path).is_relative_to(tmp_path)
    run.send_signal(signal.SIGTERM)
    assert run.wait(400) == 0
    left = [each for each in tmp_path.rglob("*") if each.is_file() or each.name.startswith("visionclip")]
    assert left == [] and told.read_text().startswith(f"{address}/ is served until Ctrl-C\n")


@pytest.fixture
def heard():
    """Hang-ups are heard as at a terminal, whatever the tests were started with (`nohup`)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_kill_and_a_closed_terminal_end_the_page(number, heard):
    before = signal.getsignal(number)
    with serving.until_stopped() as stop:
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.wait(10)
    assert signal.getsignal(number) == before


def test_a_page_under_nohup_outlives_its_terminal(heard):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with serving.until_stopped() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop.wait(0.5)


def test_a_port_that_is_taken_leaves_nothing(model, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        reader = Classifier(loading.load_model(model))
        with pytest.raises(UserError, match="taken"), page.running(reader, taken.getsockname()[1]):
            pass
        with page.running(reader):
            pass
    assert list(tmp_path.glob("visionclip*")) == []


@pytest.fixture(scope="module")
def collection(model, tmp_path_factory) -> tabs.Collection:
    """Phantoms that can be searched."""
    home = tmp_path_factory.mktemp("collection")
    phantom.write(phantom.PhantomConfig(size=64), 12, home / "phantoms")
    embed.write(home / "phantoms.parquet", loading.load_model(model), home / "phantoms")
    return tabs.Collection(home / "phantoms.parquet", home / "phantoms")


@pytest.mark.slow
@pytest.mark.skipif(not chromium.PROGRAM, reason="needs Chromium")
def test_a_set_is_searched_in_a_browser_and_nothing_leaves(model, collection, tmp_path):
    reader = Classifier(loading.load_model(model))
    with (
        page.running(reader, collection=collection) as address,
        chromium.Browser(tmp_path / "profile") as browser,
    ):
        browser.open(address)
        browser.wait("!!document.querySelector('#photograph button')")
        _choose(browser, "search")
        browser.wait("!!document.querySelector('#find')")
        browser.run("document.querySelector('#find').click()")
        browser.wait("document.querySelectorAll('#found img').length >= 8")
        elsewhere = [
            each for each in browser.requests if not each.startswith((address, "data:", "blob:", "about:"))
        ]
        assert elsewhere == []


def _choose(browser: chromium.Browser, name: str) -> None:
    """Open a tab by the end of its name."""
    found = f"[...document.querySelectorAll('button[role=tab]')].find(each => each.innerText.trim().endsWith('{name}'))"
    browser.wait(f"!!{found}")
    browser.run(f"{found}.click()")


def test_embeddings_of_other_records_or_of_another_model_are_refused_before_the_page_is_served(
    model, collection, tmp_path
):
    phantom.write(phantom.PhantomConfig(size=64, seed=5), 3, tmp_path / "others")
    reader = Classifier(loading.load_model(model))
    with (
        pytest.raises(UserError, match="no record 'phantom-"),
        page.running(reader, collection=collection._replace(data=tmp_path / "others")),
    ):
        pass
    other = Classifier(build(MODEL, 7))
    with (
        pytest.raises(UserError, match="embeddings of another model"),
        page.running(other, collection=collection),
    ):
        pass
