// The console: what is shared with a project and by it, and what it answers.
// Names and notes of others are text in <bdi>, never markup.
import { html, render, useEffect, useRef, useState } from "./preact.js";
import { beginSignIn, finishSignIn, hasReturned, issuerHost, noteSignOut } from "./sign-in.js";

const BASE = location.pathname.replace(/\/console\/?$/, "");
const REFRESH_MS = 10000;
const DRAFT = "draft";
const STATUSES = ["pending", "accepted", "rejected", "muted"];
const STATUS_NAMES = { muted: "hidden" };
const REASONS = {
  "not-found": "not your image",
  "not-shared": "its visibility is not \"shared\"",
  "own-project": "the image is your project's own",
  "unknown-recipient": "not known to you",
  "limit-exceeded": "the image has all members, or your project all offers, that it may have",
  conflict: "others changed it at the same time: retry",
};
const FIELDS = {
  images: "Images", projects: "Project ids", note: "The note", display_name: "The display name", contact: "The contact",
};
const EFFECTS = { ask: "ask me", accept: "accept at once", mute: "hide" };

let token = sessionStorage.getItem("token");
let signedOut = () => {};
// Whether the token is of a sign-in at the issuer, and the service has not taken it yet.
let fresh = false;
// Called with 1 when a change is sent, and with -1 when it is answered.
let working = () => {};

class Refusal extends Error {}

async function call(method, path, body) {
  const headers = { "X-Auth-Token": token, Accept: "application/json" };
  if (token && token.split(".").length === 3) headers.Authorization = `Bearer ${token}`;
  if (headers.Authorization) delete headers["X-Auth-Token"];
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  const sent = token;
  const change = method === "GET" ? 0 : 1;
  working(change);
  try {
    response = await fetch(BASE + path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refusal("The service cannot be reached. Check the connection and retry.");
  } finally {
    working(-change);
  }
  if (response.status === 401) {
    const words = unauthorized();
    if (sent === token) signedOut(words);
    throw new Refusal(words);
  }
  fresh = false;
  const text = await response.text();
  let document;
  try { document = text ? JSON.parse(text) : null; } catch { document = null; }
  if (!response.ok) {
    const words = document?.detail || document?.message || `The service answered ${response.status}.`;
    throw new Refusal(plainly(words, body));
  }
  return document;
}

function unauthorized() {
  if (!config.sign_in) return "The token is missing, wrong or expired. Sign in again.";
  if (!fresh) return "The sign-in has expired, or the token is wrong. Sign in again.";
  return `${issuerHost(config.sign_in)} let you in, but this service does not accept its token. Your account may have no project here, or the token's audience, claims or times do not fit: tell the operator of this service.`;
}

// A message names a part of what was sent by its place: /projects/3. Name what was typed.
function plainly(words, body) {
  return words.replace(/^\/(\w+)(?:\/(\d+))?/, (place, name, index) =>
    index && body?.[name]?.[index] ? `"${plain(body[name][index])}"` : FIELDS[name] || place);
}

const segment = encodeURIComponent;
const size = (bytes) => bytes === null ? "no data yet"
  : bytes < 1048576 ? `${bytes} bytes` : `${(bytes / 1048576).toFixed(1)} MiB`;
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

// A name in a sentence: without characters that change the direction of the rest.
const plain = (name) => name.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");

function Time({ at }) {
  return html`<time datetime=${at}>${new Date(at).toLocaleString()}</time>`;
}

function Text({ children }) {
  return html`<bdi>${children}</bdi>`;
}

function Copy({ text, label }) {
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      setSaid("Not allowed");  // By the browser: without https, or by its settings.
    }
    setTimeout(() => setSaid(""), 2000);
  };
  return html`<button type="button" onClick=${copy} aria-label=${label}>${said || "Copy"}</button>
    <span class="unseen" aria-live="polite">${said}</span>`;
}

// A table whose rows become cards where the window is narrow. The roles hold there, too.
// The cell that names a row has the id NAME-0, NAME-1 and so on, for what acts on it.
function Table({ name, caption, columns, rows }) {
  return html`<table role="table">
    <caption>${caption}</caption>
    <thead role="rowgroup"><tr role="row">${columns.map((column) =>
      html`<th scope="col" role="columnheader">${column}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map(({ key, cells }, row) => html`<tr role="row" key=${key}>
      ${cells.map((cell, at) => at === 0
        ? html`<th scope="row" role="rowheader" id=${`${name}-${row}`}>${cell}</th>`
        : html`<td role="cell" data-label=${columns[at]}>${cell}</td>`)}</tr>`)}
    </tbody></table>`;
}

function Dialog({ title, close, children }) {
  const dialog = useRef();
  const heading = useRef();
  const closed = useRef();
  closed.current = close;
  useEffect(() => {
    const element = dialog.current;
    const onClose = () => closed.current();
    element.addEventListener("close", onClose);
    element.showModal();
    return () => {
      element.removeEventListener("close", onClose);
      element.close();  // So that the focus returns to what opened it.
    };
  }, []);
  useEffect(() => {
    if (!dialog.current.querySelector("[autofocus]")) heading.current.focus();
  }, [title]);
  return html`<dialog ref=${dialog} aria-labelledby="dialog-title">
    <h2 id="dialog-title" tabindex="-1" ref=${heading}>${title}</h2>
    ${children}
  </dialog>`;
}

function Confirm({ title, words, verb, act, close }) {
  return html`<${Dialog} title=${title} close=${close}>
    <p>${words}</p>
    <button class="main" type="button" autofocus onClick=${act}>${verb}</button>
    <button type="button" onClick=${close}>Cancel</button>
  </${Dialog}>`;
}

// Load a page's document, again when asked and every few seconds while it is in sight.
function useLoaded(load, key, fail, pages = 1) {
  const [document, setDocument] = useState(null);
  const [failed, setFailed] = useState(false);
  const latest = useRef({ asked: 0, shown: 0 });
  Object.assign(latest.current, { load, key });
  const reload = async (quiet) => {
    const { load: loading, key: about } = latest.current;
    const number = ++latest.current.asked;
    try {
      const loaded = await loading();
      if (latest.current.key !== about || number < latest.current.shown) return;
      latest.current.shown = number;
      keepFocus();
      setDocument(loaded);
      if (latest.current.failed) fail(null);
      latest.current.failed = false;
      setFailed(false);
    } catch (error) {
      if (quiet === true) return;
      latest.current.failed = true;
      setFailed(true);
      fail(error);
    }
  };
  useEffect(() => { setDocument(null); setFailed(false); }, [key]);
  useEffect(() => {
    reload();
    const timer = setInterval(() => window.document.hidden || reload(true), REFRESH_MS * pages);
    return () => clearInterval(timer);
  }, [key, pages]);
  return [document, reload, document === null && html`<${Waiting} failed=${failed} reload=${reload} />`];
}

// What has the focus may be gone once the page is drawn: go on at the row in its place.
function keepFocus() {
  const focused = document.activeElement;
  const place = focused.closest("tr")?.rowIndex;
  setTimeout(() => {
    if (focused.isConnected) return;
    const rows = document.querySelectorAll("main tr");
    const next = (rows[place] || rows[place - 1])?.querySelector("a, td button");
    (next || document.querySelector("#end") || document.querySelector("h1"))?.focus();
  });
}

function Waiting({ failed, reload }) {
  return failed ? html`<p><button type="button" onClick=${() => reload()}>Try again</button></p>`
    : html`<p class="quiet late">Loading …</p>`;
}

function More({ list, pages, setPages }) {
  if (list?.next) return html`<button type="button" onClick=${() => setPages(pages + 1)}>Show more</button>`;
  return pages > 1 && html`<p id="end" tabindex="-1" class="quiet">All ${list?.memberships.length} are shown.</p>`;
}

// The entries of a list, page by page, as far as the reader has asked for them.
async function entries(path, noun, pages) {
  let next = path;
  let first = null;
  const all = [];
  for (let page = 0; page < pages && next; page += 1) {
    const document = await call("GET", next);
    first ??= document;
    all.push(...document[noun]);
    next = document.next;
  }
  return { ...first, [noun]: all, next };
}

function SignIn({ config, message, notice, finishing, signIn, fail }) {
  const [typed, setTyped] = useState("");
  const [leaving, setLeaving] = useState(false);
  const heading = useRef();
  useEffect(() => {
    heading.current.focus();
    const shown = () => setLeaving(false);  // Also by the browser's way back.
    addEventListener("pageshow", shown);
    return () => removeEventListener("pageshow", shown);
  }, []);
  const submit = (event) => { event.preventDefault(); signIn(typed.trim()); };
  const leave = async () => {
    if (leaving || finishing) return;
    setLeaving(true);
    try { await beginSignIn(config.sign_in); } catch (error) { setLeaving(false); fail(error.message); }
  };
  const form = html`<form onSubmit=${submit}>
      <label for="token">Token</label>
      <input id="token" type="password" autocomplete="off" required value=${typed}
        onInput=${(event) => setTyped(event.target.value)} />
      <p class="quiet">${config.auth === "keystone"
        ? "openstack token issue -f value -c id prints one."
        : "A token of your project. It stays in this tab and is gone when you close it."}</p>
      <button class=${config.sign_in ? "" : "main"}>Sign in</button>
    </form>`;
  return html`<main>
    <h1 tabindex="-1" ref=${heading}>Cloud Images</h1>
    <p>See which images are shared with your project and by it, and answer what you are offered.</p>
    <div role="alert">${message && html`<p class="error">${message}</p>`}</div>
    <div role="status">${leaving || finishing ? html`<p>Signing in …</p>` : notice && html`<p class="result">${notice}</p>`}</div>
    ${config.tokens.length > 0 && html`<h2>Sign in as</h2>
      <ul>${config.tokens.map((one) => html`<li>
        <button type="button" onClick=${() => signIn(one)}>${one}</button></li>`)}
      </ul>
      <p class="quiet">These tokens work on this machine only. Their form is user:project:role.</p>`}
    ${config.sign_in ? html`
      <p><button class="main" type="button" aria-disabled=${leaving || finishing} onClick=${leave}>
        Sign in with ${issuerHost(config.sign_in)}</button></p>
      <details><summary>Use a token instead</summary>${form}</details>` : form}
  </main>`;
}

function Producer({ producer }) {
  return html`<${Text}>${producer.display_name || producer.project_id}</${Text}>
    ${producer.display_name && html`<br /><strong class="badge">${producer.verified ? "verified" : "not verified"}</strong>
      <br /><code>${producer.project_id}</code>`}
    ${producer.contact && html`<br /><span class="quiet"><${Text}>${producer.contact}</${Text}></span>`}`;
}

function Incoming({ status, tell, fail, ask }) {
  const [pages, setPages] = useState(1);
  const query = status === "muted" ? "muted=true" : `status=${status}`;
  const [list, reload, waiting] = useLoaded(
    () => entries(`/ext/v1/incoming?${query}`, "memberships", pages), status, fail, pages);
  useEffect(() => setPages(1), [status]);
  const act = async (offer, words, method, body) => {
    try {
      await call(method, `/ext/v1/incoming/${offer.image_id}`, body);
      tell(`${plain(offer.image?.name || offer.image_id)}: ${words}.`);
      await reload();
    } catch (error) { fail(error); }
  };
  const set = (offer, to) => act(offer, to === "pending" ? "put off" : to, "PUT", { status: to });
  const leave = (offer) => ask({
    title: "Leave this image?", verb: "Leave",
    words: "Your project loses access to it. Only its producer can share it with you again.",
    act: () => act(offer, "left", "DELETE"),
  });
  const rule = (offer, effect) => ask({
    title: effect === "mute" ? "Hide this producer's offers?" : "Accept this producer's offers?",
    verb: effect === "mute" ? "Hide" : "Accept",
    words: effect === "mute"
      ? `Offers of ${plain(offer.producer.project_id)} leave this list. The producer cannot tell.`
      : `Offers of ${plain(offer.producer.project_id)} that arrive from now on are accepted at once.`,
    act: async () => {
      try {
        await call("PUT", `/ext/v1/rules/${segment(offer.producer.project_id)}`, { effect });
        tell(`Rule saved for ${plain(offer.producer.project_id)}.`);
        await reload();
      } catch (error) { fail(error); }
    },
  });
  const counts = list?.counts;
  return html`
    <h1 tabindex="-1">Shared with me</h1>
    ${counts?.pending > 0 && html`<p class="banner">
      ${plural(counts.pending, "offer")} ${counts.pending === 1 ? "waits" : "wait"} for your answer.</p>`}
    <nav aria-label="Status"><ul>${STATUSES.map((one) => html`<li>
      <a href=${`#/incoming/${one}`} aria-current=${one === status ? "page" : null}>${STATUS_NAMES[one] || one}</a></li>`)}
    </ul></nav>
    ${waiting}
    ${list && list.memberships.length === 0 && html`<p>${{
      pending: "Nothing waits for your answer. A producer shares an image with your project by its id, which is at the top of this page.",
      accepted: "You have accepted no image. Accepted images are in your image list.",
      rejected: "You have rejected no image.",
      muted: "No rule of yours hides an offer.",
    }[status]}</p>`}
    ${list && list.memberships.length > 0 && html`<${Table} name="offer" caption="Newest offer first"
      columns=${["Image", "Producer", "Note", "Offered", "Your answer"]}
      rows=${list.memberships.map((offer, at) => ({ key: offer.image_id, cells: [
        html`<a href=${`#/image/${offer.image_id}`}><${Text}>${offer.image?.name || offer.image_id}</${Text}></a>
          <br /><span class="quiet">${offer.image ? size(offer.image.size) : "not shared at the moment"}</span>`,
        html`<${Producer} producer=${offer.producer} />`,
        offer.note && html`<${Text}>${offer.note}</${Text}>`,
        html`<${Time} at=${offer.offered_at} />`,
        html`<${Answers} offer=${offer} about=${`offer-${at}`} set=${set} leave=${leave} rule=${rule} />`,
      ] }))} />`}
    ${list?.truncated && html`<p class="quiet">There are offers of older images that this list does not show.</p>`}
    <${More} list=${list} pages=${pages} setPages=${setPages} />`;
}

function Answers({ offer, about, set, leave, rule }) {
  const button = (words, act, kind) => html`<button type="button" class=${kind}
    aria-describedby=${about} onClick=${act}>${words}</button>`;
  return html`<div class="acts">
    ${offer.status !== "accepted" && offer.usable && button("Accept", () => set(offer, "accepted"), "main")}
    ${offer.status !== "rejected" && offer.usable && button("Reject", () => set(offer, "rejected"))}
    ${offer.status !== "pending" && offer.usable && button("Later", () => set(offer, "pending"))}
    ${button("Leave", () => leave(offer))}
    ${!offer.muted && button("Always accept", () => rule(offer, "accept"))}
    ${!offer.muted && button("Hide producer", () => rule(offer, "mute"))}
  </div>`;
}

const ofResult = (results, ...kinds) => results.filter((one) => kinds.includes(one.result)).length;

function summary(results) {
  const [shared, notes] = [ofResult(results, "shared"), ofResult(results, "changed")];
  const left = results.length - shared - notes;
  const words = [shared && `${shared} will be shared`, notes && `${plural(notes, "note")} will change`,
    left && `${left} will stay as ${left === 1 ? "it is" : "they are"}`].filter(Boolean);
  return `Nothing has changed yet: ${words.join(", ")}`;
}

function outcome({ results, next }) {
  const [shared, notes, refused] = ["shared", "changed", "refused"].map((kind) => ofResult(results, kind));
  const done = [shared && `${plural(shared, "offer")} made`, notes && `${plural(notes, "note")} changed`,
    refused && `${refused} refused`].filter(Boolean);
  return `${done.join(", ") || "Nothing was left to share"}.${next ? " There was no time for all: share again." : ""}`;
}

function resultWords({ result, reason }) {
  if (result === "refused") return `cannot be shared: ${REASONS[reason] || reason}`;
  return { shared: "will be shared", changed: "is shared: the note will change", unchanged: "is shared already" }[result];
}

// What was typed into the share dialog, if a sign-in or a reload came between.
function readDraft(project, preset) {
  const draft = JSON.parse(sessionStorage.getItem(DRAFT) || "null");
  return draft?.project === project && draft.preset === preset ? draft : null;
}

function ShareDialog({ project, preset, tell, close, done }) {
  const draft = useRef(readDraft(project, preset)).current;
  const [images, setImages] = useState({ listed: null, next: null });
  const [chosen, setChosen] = useState(draft?.chosen || (preset ? [preset] : []));
  const [projects, setProjects] = useState(draft?.projects || "");
  const [note, setNote] = useState(draft?.note || "");
  const [knownOnly, setKnownOnly] = useState(draft?.knownOnly || false);
  const [review, setReview] = useState(null);
  const [sending, setSending] = useState(false);
  const [error, setError] = useState(null);
  useEffect(() => {
    sessionStorage.setItem(DRAFT, JSON.stringify({ project, preset, chosen, projects, note, knownOnly }));
  }, [chosen, projects, note, knownOnly]);
  const end = () => { sessionStorage.removeItem(DRAFT); close(); };
  const load = async (path) => {
    try {
      const list = await call("GET", path);
      setImages({ listed: [...(images.listed || []), ...list.images], next: list.next });
    } catch (refused) { setError(refused.message); }
  };
  useEffect(() => { load(`/v2/images?owner=${segment(project)}&visibility=shared&limit=100`); }, []);
  const request = () => ({
    action: "share", images: chosen, projects: [...new Set(projects.split(/\s+/).filter(Boolean))],
    known_only: knownOnly, ...(note ? { note } : {}),
  });
  const send = async (dry, then) => {
    if (sending) return;
    setSending(true);
    setError(null);
    try {
      await then(await call("POST", "/ext/v1/outgoing", { ...request(), dry_run: dry }));
    } catch (refused) { setError(refused.message); }
    setSending(false);
  };
  const named = (id) => images.listed?.find((one) => one.id === id)?.name || id;
  const check = (event) => { event.preventDefault(); send(true, async (dry) => setReview(dry.results)); };
  const share = () => send(false, async (run) => {
    tell(outcome(run));
    end();
    await done();
  });
  const toggle = (id) => setChosen(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id]);
  const problem = html`<div role="alert">${error && html`<p class="error">${error}</p>`}</div>`;
  return html`<${Dialog} title=${review ? "Review" : "Share images"} close=${end}>
    ${review ? html`
      <${Table} name="review" caption=${summary(review)} columns=${["Image", "Project", "Result"]}
        rows=${review.map((one) => ({ key: one.image_id + one.project_id, cells: [
          html`<${Text}>${named(one.image_id)}</${Text}>`,
          html`<code>${one.project_id}</code>${!one.known && html`<br /><strong>not known to you: check the id</strong>`}`,
          resultWords(one),
        ] }))} />
      ${problem}
      ${ofResult(review, "shared", "changed") > 0 && html`<button class="main" type="button"
        aria-disabled=${sending} onClick=${share}>${sending ? "Sharing …" : "Share"}</button>`}
      <button type="button" onClick=${() => setReview(null)}>Back</button>` : html`
      <form onSubmit=${check}>
        <fieldset><legend>Images</legend>
          ${images.listed === null && !error && html`<p class="quiet late">Loading …</p>`}
          ${images.listed?.length === 0 && html`<p>Your project has no image with the visibility "shared". A new image has it:
            create one with openstack image create, for example.</p>`}
          ${images.listed?.map((one) => html`<label class="check"><input type="checkbox" checked=${chosen.includes(one.id)}
            onChange=${() => toggle(one.id)} /> <${Text}>${one.name || one.id}</${Text}></label>`)}
          ${images.next && html`<button type="button" onClick=${() => load(images.next)}>Show more images</button>`}
        </fieldset>
        <label for="projects">Project ids, one on each line</label>
        <textarea id="projects" rows="3" required value=${projects} onInput=${(event) => setProjects(event.target.value)}></textarea>
        <label for="note">Note (optional)</label>
        <textarea id="note" rows="2" maxlength="500" value=${note} onInput=${(event) => setNote(event.target.value)}></textarea>
        <label class="check"><input type="checkbox" checked=${knownOnly} onChange=${() => setKnownOnly(!knownOnly)} /> Only
          with known projects: those that have a published profile or once answered an offer of yours</label>
        ${problem}
        <button class="main" disabled=${chosen.length === 0} aria-disabled=${sending}>Review</button>
        <button type="button" onClick=${end}>Cancel</button>
      </form>`}
  </${Dialog}>`;
}

// Shares by image or by project; without the image on the page of one.
function Shares({ shares, byProject, ofImage, revoke }) {
  const key = (share) => byProject ? share.project_id : `${share.image.name || ""} ${share.image_id}`;
  const sorted = [...shares].sort((a, b) => key(a).localeCompare(key(b)));
  const columns = ["Image", "Project", "Status", "Note", "Since", "Action"];
  return html`<${Table} name="share" caption=${`By ${byProject ? "project" : "image"}`}
    columns=${ofImage ? columns.slice(1) : columns}
    rows=${sorted.map((share, at) => {
      const image = html`<a href=${`#/image/${share.image_id}`}><${Text}>${share.image.name || share.image_id}</${Text}></a>
        ${!share.usable && html`<br /><span class="quiet">not shared at the moment</span>`}`;
      const cells = [
        html`<code id=${`with-${at}`}>${share.project_id}</code>`,
        share.status,
        share.note && html`<${Text}>${share.note}</${Text}>`,
        html`<${Time} at=${share.offered_at} />`,
        html`<button type="button" aria-describedby=${ofImage ? `with-${at}` : `share-${at} with-${at}`}
          onClick=${() => revoke(share)}>Revoke</button>`,
      ];
      return { key: share.image_id + share.project_id, cells: ofImage ? cells : [image, ...cells] };
    })} />`;
}

function useRevoke({ tell, fail, ask }, reload) {
  return (share) => ask({
    title: "Stop sharing?", verb: "Revoke",
    words: `${plain(share.project_id)} loses access to ${plain(share.image.name || share.image_id)} at once.`,
    act: async () => {
      try {
        await call("DELETE", `/ext/v1/outgoing/${share.image_id}/${segment(share.project_id)}`);
        tell(`${plain(share.project_id)}: revoked.`);
        await reload();
      } catch (error) { fail(error); }
    },
  });
}

function Outgoing({ project, tell, fail, ask }) {
  const [pages, setPages] = useState(1);
  const [byProject, setByProject] = useState(false);
  const [sharing, setSharing] = useState(() => readDraft(project, null) !== null);
  const [list, reload, waiting] = useLoaded(
    () => entries("/ext/v1/outgoing", "memberships", pages), "outgoing", fail, pages);
  const revoke = useRevoke({ tell, fail, ask }, reload);
  return html`
    <h1 tabindex="-1">Shared by me</h1>
    <button class="main" type="button" onClick=${() => setSharing(true)}>Share images</button>
    <button type="button" onClick=${() => setByProject(!byProject)}>Order by ${byProject ? "image" : "project"}</button>
    ${waiting}
    ${list && list.memberships.length === 0 && html`<p>Your project shares no image. Choose "Share images", and name a project by its id: its people find it at the top of this page.</p>`}
    ${list && list.memberships.length > 0 && html`<${Shares} shares=${list.memberships} byProject=${byProject} revoke=${revoke} />`}
    <${More} list=${list} pages=${pages} setPages=${setPages} />
    ${sharing && html`<${ShareDialog} project=${project} preset=${null} tell=${tell}
      close=${() => setSharing(false)} done=${reload} />`}`;
}

function ImagePage({ id, project, tell, fail, ask }) {
  const [sharing, setSharing] = useState(() => readDraft(project, id) !== null);
  const [image, reload, waiting] = useLoaded(async () => {
    try {
      const shares = await call("GET", `/ext/v1/outgoing/${segment(id)}`);
      return { ...shares, own: true };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { ...(await call("GET", `/ext/v1/incoming/${segment(id)}`)), own: false };
    }
  }, id, fail);
  const revoke = useRevoke({ tell, fail, ask }, reload);
  if (!image) return html`<h1 tabindex="-1">Image</h1>${waiting}`;
  const members = (image.members || []).map((one) => ({ ...one, image_id: id, image: image.image }));
  return html`
    <h1 tabindex="-1"><${Text}>${image.image?.name || id}</${Text}></h1>
    <dl>
      <dt>Id</dt><dd><code>${id}</code> <${Copy} text=${id} label="Copy the image's id" /></dd>
      ${image.own && html`<dt>Visibility</dt><dd>${image.visibility}</dd>`}
      ${!image.own && html`<dt>Your answer</dt><dd>${image.status}</dd><dt>Producer</dt><dd><code>${image.producer.project_id}</code></dd>`}
      ${image.note && html`<dt>Note</dt><dd><${Text}>${image.note}</${Text}></dd>`}
      ${image.image && html`<dt>Status</dt><dd>${image.image.status}</dd><dt>Size</dt><dd>${size(image.image.size)}</dd>
        <dt>Disk format</dt><dd>${image.image.disk_format || "not set"}</dd>`}
    </dl>
    ${!image.own && html`<p><a href=${`#/incoming/${image.muted ? "muted" : image.status}`}>Answer or leave it in the list of offers</a></p>`}
    ${image.own && html`<h2>Members</h2>
      ${image.visibility !== "shared" && members.length > 0 && html`<p class="banner">
        The image is ${image.visibility}. If it becomes shared again, ${plural(members.length, "project")} below will see it again.</p>`}
      ${members.length === 0 ? html`<p>No project is a member of this image.</p>`
        : html`<${Shares} shares=${members} byProject=${true} ofImage=${true} revoke=${revoke} />`}
      ${image.visibility === "shared" && html`<button class="main" type="button" onClick=${() => setSharing(true)}>Share this image</button>`}
      ${sharing && html`<${ShareDialog} project=${project} preset=${id} tell=${tell}
        close=${() => setSharing(false)} done=${reload} />`}`}`;
}

function Rules({ tell, fail }) {
  const [loaded, reload, waiting] = useLoaded(async () => {
    const rules = await call("GET", "/ext/v1/rules");
    let profile = null;
    try { profile = await call("GET", "/ext/v1/profile"); } catch { /* There is none yet. */ }
    return { ...rules, profile };
  }, "rules", fail);
  const [producer, setProducer] = useState("");
  const [effect, setEffect] = useState("accept");
  const run = async (words, method, path, body) => {
    try { await call(method, path, body); tell(words); await reload(); } catch (error) { fail(error); }
  };
  const save = (event) => {
    event.preventDefault();
    run("Rule saved.", "PUT", `/ext/v1/rules/${segment(producer.trim())}`, { effect });
    setProducer("");
  };
  const publish = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    run("Profile saved.", "PUT", "/ext/v1/profile", {
      display_name: form.get("display_name"), contact: form.get("contact") || null,
      published: form.get("published") === "on",
    });
  };
  if (!loaded) return html`<h1 tabindex="-1">Rules and profile</h1>${waiting}`;
  const profile = loaded.profile || {};
  return html`
    <h1 tabindex="-1">Rules and profile</h1>
    <h2>What happens to offers</h2>
    ${loaded.rules.length === 0 ? html`<p>There is no rule: every offer waits for your answer.</p>` : html`<${Table} name="rule"
      caption="The rule for * is that for every other producer" columns=${["Producer", "Offers", "Action"]}
      rows=${loaded.rules.map((rule, at) => ({ key: rule.producer_id, cells: [
        html`<code>${rule.producer_id}</code>`,
        EFFECTS[rule.effect],
        html`<button type="button" aria-describedby=${`rule-${at}`} onClick=${() =>
          run("Rule removed.", "DELETE", `/ext/v1/rules/${segment(rule.producer_id)}`)}>Remove</button>`,
      ] }))} />`}
    <form onSubmit=${save}>
      <label for="producer">Producer's project id, or * for all others</label>
      <input id="producer" type="text" required value=${producer} onInput=${(event) => setProducer(event.target.value)} />
      <label for="effect">What to do with its offers</label>
      <select id="effect" value=${effect} onChange=${(event) => setEffect(event.target.value)}>
        ${Object.entries(EFFECTS).map(([value, words]) => html`<option value=${value}>${words}</option>`)}
      </select>
      <p><button class="main">Save rule</button></p>
    </form>
    <h2>Profile</h2>
    <p class="quiet">What others read of your project while it is published.${profile.verified ? " An administrator verified it." : ""}</p>
    <form onSubmit=${publish} key=${profile.updated_at}>
      <label for="display_name">Display name</label>
      <input id="display_name" name="display_name" type="text" required maxlength="80" defaultValue=${profile.display_name || ""} />
      <label for="contact">Contact: an https address or an e-mail address (optional)</label>
      <input id="contact" name="contact" type="text" maxlength="254" defaultValue=${profile.contact || ""} />
      <label class="check"><input name="published" type="checkbox" defaultChecked=${Boolean(profile.published)} /> Published</label>
      <p><button class="main">Save profile</button></p>
    </form>`;
}

const PAGES = new Map([
  ["incoming", "Shared with me"], ["outgoing", "Shared by me"], ["rules", "Rules and profile"], ["image", "Image"],
]);

function App({ config, returning }) {
  const [signedIn, setSignedIn] = useState(Boolean(token));
  const [finishing, setFinishing] = useState(Boolean(returning));
  const [problem, setProblem] = useState(null);
  const [notice, setNotice] = useState(null);
  const [project, setProject] = useState(null);
  const [route, setRoute] = useState(location.hash);
  const [result, setResult] = useState(null);
  const [error, setError] = useState(null);
  const [question, setQuestion] = useState(null);
  const [work, setWork] = useState(0);
  const main = useRef();
  working = (change) => setWork((count) => count + change);
  signedOut = (message) => {
    token = null;
    sessionStorage.removeItem("token");
    setSignedIn(false);
    setProject(null);
    setQuestion(null);
    setResult(null);
    setError(null);
    setProblem(message);
    setNotice(null);
  };
  const signOut = () => {
    signedOut(null);
    sessionStorage.removeItem(DRAFT);
    if (!config.sign_in) return;
    noteSignOut();
    setNotice(`You are signed out here. ${issuerHost(config.sign_in)} will ask who you are when you sign in again.`);
  };
  const signIn = (text) => {
    token = text;
    sessionStorage.setItem("token", text);
    setProblem(null);
    setError(null);
    setSignedIn(true);
  };
  useEffect(() => {
    returning?.then((answer) => {
      setFinishing(false);
      if (answer.problem) return setProblem(answer.problem);
      fresh = true;
      signIn(answer.token);
    });
  }, []);
  const fail = (refused) => { setResult(null); setError(refused && refused.message); };
  const tell = (words) => { setError(null); setResult(words); };
  useEffect(() => {
    const moved = () => {
      setRoute(location.hash);
      setError(null);
      setResult(null);
      setTimeout(() => main.current?.querySelector("h1")?.focus());
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const [, named, detail] = route.split("/");
  const page = [...PAGES.keys()].includes(named) ? named : "incoming";
  useEffect(() => {
    document.title = `${signedIn ? PAGES.get(page) : "Sign in"} - Cloud Images`;
  }, [signedIn, page]);
  const find = () => call("GET", "/ext/v1").then(
    (limits) => {
      setError(null);
      setProject(limits.project_id);
      setTimeout(() => document.activeElement === document.body && main.current?.querySelector("h1")?.focus());
    }).catch(fail);
  useEffect(() => { if (signedIn && !project) find(); }, [signedIn, route]);
  if (!signedIn) {
    return html`<${SignIn} config=${config} message=${problem} notice=${notice} finishing=${finishing}
      signIn=${signIn} fail=${setProblem} />`;
  }
  const ask = (asked) => setQuestion({
    ...asked, act: () => { setQuestion(null); asked.act(); },
  });
  const common = { project, tell, fail, ask };
  return html`
    <header>
      <strong>Cloud Images</strong>
      <nav aria-label="Pages"><ul>${[...PAGES].slice(0, 3).map(([name, words]) => html`<li>
        <a href=${`#/${name}`} aria-current=${page === name ? "page" : null}>${words}</a></li>`)}</ul></nav>
      <div class="who"><span>Your project: <code>${project}</code></span>
        ${project && html`<${Copy} text=${project} label="Copy your project's id" />`}
        <button type="button" onClick=${signOut}>Sign out</button></div>
    </header>
    <main ref=${main}>
      <div class="messages">
        <div role="status">${work > 0 ? html`<p class="result late">Working …</p>` : result && html`<p class="result">${result}</p>`}</div>
        <div role="alert">${error && html`<p class="error">${error}</p>`}</div>
      </div>
      ${!project && html`<h1 tabindex="-1">${PAGES.get(page)}</h1><${Waiting} failed=${error} reload=${find} />`}
      ${project && (page === "outgoing" ? html`<${Outgoing} ...${common} />`
        : page === "rules" ? html`<${Rules} ...${common} />`
        : page === "image" ? html`<${ImagePage} id=${detail} ...${common} />`
        : html`<${Incoming} status=${STATUSES.includes(detail) ? detail : "pending"} ...${common} />`)}
      ${question && html`<${Confirm} ...${question} close=${() => setQuestion(null)} />`}
    </main>`;
}

const root = document.getElementById("app");
let config;

async function start() {
  try {
    const response = await fetch(`${BASE}/console/config.json`);
    if (!response.ok) throw new Refusal(`The service answered ${response.status}.`);
    config = await response.json();
  } catch (error) {
    const words = error instanceof Refusal ? error.message : "The service cannot be reached.";
    root.replaceChildren();
    render(html`<main><h1>Cloud Images</h1>
      <p class="error" role="alert">${words} Load this page again.</p></main>`, root);
    return;
  }
  const returning = config.sign_in && hasReturned()
    ? finishSignIn(config.sign_in).then((issued) => ({ token: issued }), (error) => ({ problem: error.message }))
    : null;
  root.replaceChildren();
  render(html`<${App} config=${config} returning=${returning} />`, root);
}

start();
