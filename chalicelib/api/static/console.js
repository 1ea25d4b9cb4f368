// The console: what is shared with a project and by it, and what it answers.
// Names and notes of others are text in <bdi>, never markup.
import { html, render, useEffect, useRef, useState } from "./preact.js";
import { beginSignIn, finishSignIn, hasReturned, issuerHost, noteSignOut } from "./sign-in.js";

const BASE = location.pathname.replace(/\/console\/?$/, "");
const REFRESH_MS = 10000;
const STATUSES = ["pending", "accepted", "rejected", "muted"];
const EFFECTS = { ask: "ask me", accept: "accept at once", mute: "hide" };

let token = sessionStorage.getItem("token");
let signedOut = () => {};
// Whether the token is of a sign-in at the issuer, and the service has not taken it yet.
let fresh = false;

class Refusal extends Error {}

async function call(method, path, body) {
  const headers = { "X-Auth-Token": token, Accept: "application/json" };
  if (token && token.split(".").length === 3) headers.Authorization = `Bearer ${token}`;
  if (headers.Authorization) delete headers["X-Auth-Token"];
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(BASE + path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refusal("The service cannot be reached. Check the connection and retry.");
  }
  if (response.status === 401) {
    const words = unauthorized();
    signedOut(words);
    throw new Refusal(words);
  }
  fresh = false;
  const text = await response.text();
  let document;
  try { document = text ? JSON.parse(text) : null; } catch { document = null; }
  if (!response.ok) {
    throw new Refusal(document?.detail || document?.message || `The service answered ${response.status}.`);
  }
  return document;
}

function unauthorized() {
  if (!config.sign_in) return "The token is missing, wrong or expired. Sign in again.";
  if (!fresh) return "The sign-in has expired, or the token is wrong. Sign in again.";
  return `${issuerHost(config.sign_in)} let you in, but this service does not accept its token. Your account may have no project here, or the token's audience, claims or times do not fit: tell the operator of this service.`;
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
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 2000);
  };
  return html`<button type="button" onClick=${copy} aria-label=${label}>${done ? "Copied" : "Copy"}</button>`;
}

function Dialog({ title, close, children }) {
  const dialog = useRef();
  useEffect(() => { dialog.current.showModal(); }, []);
  return html`<dialog ref=${dialog} aria-labelledby="dialog-title" onClose=${close}>
    <h2 id="dialog-title">${title}</h2>
    ${children}
  </dialog>`;
}

function Confirm({ title, words, verb, act, close }) {
  return html`<${Dialog} title=${title} close=${close}>
    <p>${words}</p>
    <button class="main" type="button" onClick=${act}>${verb}</button>
    <button type="button" onClick=${close}>Cancel</button>
  </${Dialog}>`;
}

// Load a page's document, again when asked and every few seconds while it is in sight.
function useLoaded(load, key, fail) {
  const [document, setDocument] = useState(null);
  const latest = useRef(key);
  latest.current = key;
  const reload = async (quiet) => {
    try {
      const loaded = await load();
      if (latest.current === key) setDocument(loaded);
    } catch (error) {
      if (!quiet) fail(error);
    }
  };
  useEffect(() => {
    setDocument(null);
    reload();
    const timer = setInterval(() => window.document.hidden || reload(true), REFRESH_MS);
    return () => clearInterval(timer);
  }, [key]);
  return [document, reload];
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
    <div role="alert">${message && html`<p class="error">${message}</p>`}</div>
    <div role="status">${leaving || finishing ? html`<p>Signing in …</p>` : notice && html`<p class="result">${notice}</p>`}</div>
    ${config.tokens.length > 0 && html`<h2>Sign in as</h2>
      <ul>${config.tokens.map((one) => html`<li>
        <button type="button" onClick=${() => signIn(one)}>${one}</button></li>`)}
      </ul>
      <p class="quiet">These are tokens of this machine: user:project:role.</p>`}
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
  const [list, reload] = useLoaded(
    () => entries(`/ext/v1/incoming?${query}`, "memberships", pages), `${status} ${pages}`, fail);
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
      <a href=${`#/incoming/${one}`} aria-current=${one === status ? "page" : null}>${one}</a></li>`)}
    </ul></nav>
    ${list && list.memberships.length === 0 && html`<p>${{
      pending: "Nothing waits for your answer. A producer shares an image with your project by its id, which is at the top of this page.",
      accepted: "You have accepted no image. Accepted images are in your image list.",
      rejected: "You have rejected no image.",
      muted: "No rule of yours hides an offer.",
    }[status]}</p>`}
    ${list && list.memberships.length > 0 && html`<div class="wide"><table>
      <caption>Newest offer first</caption>
      <thead><tr><th scope="col">Image</th><th scope="col">Producer</th><th scope="col">Note</th>
        <th scope="col">Offered</th><th scope="col">Your answer</th></tr></thead>
      <tbody>${list.memberships.map((offer) => html`<tr key=${offer.image_id}>
        <th scope="row"><a href=${`#/image/${offer.image_id}`}><${Text}>${offer.image?.name || offer.image_id}</${Text}></a>
          <br /><span class="quiet">${offer.image ? size(offer.image.size) : "not shared at the moment"}</span></th>
        <td><${Producer} producer=${offer.producer} /></td>
        <td>${offer.note && html`<${Text}>${offer.note}</${Text}>`}</td>
        <td><${Time} at=${offer.offered_at} /></td>
        <td class="acts">
          ${offer.status !== "accepted" && offer.usable && html`<button class="main" type="button" onClick=${() => set(offer, "accepted")}>Accept</button>`}
          ${offer.status !== "rejected" && offer.usable && html`<button type="button" onClick=${() => set(offer, "rejected")}>Reject</button>`}
          ${offer.status !== "pending" && offer.usable && html`<button type="button" onClick=${() => set(offer, "pending")}>Later</button>`}
          <button type="button" onClick=${() => leave(offer)}>Leave</button>
          ${!offer.muted && html`<button type="button" onClick=${() => rule(offer, "accept")}>Always accept</button>
            <button type="button" onClick=${() => rule(offer, "mute")}>Hide producer</button>`}
        </td></tr>`)}
      </tbody></table></div>`}
    ${list?.truncated && html`<p class="quiet">There are offers of older images that this list does not show.</p>`}
    ${list?.next && html`<button type="button" onClick=${() => setPages(pages + 1)}>Show more</button>`}`;
}

function ShareDialog({ project, preset, tell, fail, close, done }) {
  const [images, setImages] = useState(null);
  const [chosen, setChosen] = useState(preset ? [preset] : []);
  const [projects, setProjects] = useState("");
  const [note, setNote] = useState("");
  const [knownOnly, setKnownOnly] = useState(false);
  const [review, setReview] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    call("GET", `/v2/images?owner=${segment(project)}&visibility=shared&limit=100`)
      .then((list) => setImages(list.images)).catch(fail);
  }, []);
  const request = () => ({
    action: "share", images: chosen, projects: [...new Set(projects.split(/\s+/).filter(Boolean))],
    known_only: knownOnly, ...(note ? { note } : {}),
  });
  const send = async (dry, then) => {
    try {
      setError(null);
      await then(await call("POST", "/ext/v1/outgoing", { ...request(), dry_run: dry }));
    } catch (refused) { setError(refused.message); }
  };
  const named = (id) => images?.find((one) => one.id === id)?.name || id;
  const check = (event) => { event.preventDefault(); send(true, async (dry) => setReview(dry.results)); };
  const share = () => send(false, async (run) => {
    const count = run.results.filter((one) => one.result === "shared").length;
    tell(`${plural(count, "membership")} shared.${run.next ? " There was no time for all: share again." : ""}`);
    close();
    await done();
  });
  const toggle = (id) => setChosen(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id]);
  return html`<${Dialog} title=${review ? "Review" : "Share images"} close=${close}>
    ${error && html`<p class="error" role="alert">${error}</p>`}
    ${review ? html`
      <div class="wide"><table><caption>Nothing is shared yet</caption>
        <thead><tr><th scope="col">Image</th><th scope="col">Project</th><th scope="col">Result</th></tr></thead>
        <tbody>${review.map((one) => html`<tr><td><${Text}>${named(one.image_id)}</${Text}></td>
          <td><code>${one.project_id}</code>${!one.known && html`<br /><strong>not known to you: check the id</strong>`}</td>
          <td>${one.result === "shared" ? "will be shared" : one.reason || one.result}</td></tr>`)}</tbody>
      </table></div>
      <button class="main" type="button" onClick=${share}>Share</button>
      <button type="button" onClick=${() => setReview(null)}>Back</button>` : html`
      <form onSubmit=${check}>
        <fieldset><legend>Images</legend>
          ${images?.length === 0 && html`<p>Your project has no image with the visibility "shared".</p>`}
          ${images?.map((one) => html`<label class="check"><input type="checkbox" checked=${chosen.includes(one.id)}
            onChange=${() => toggle(one.id)} /> <${Text}>${one.name || one.id}</${Text}></label>`)}
        </fieldset>
        <label for="projects">Project ids, one on each line</label>
        <textarea id="projects" rows="3" required value=${projects} onInput=${(event) => setProjects(event.target.value)}></textarea>
        <label for="note">Note (optional)</label>
        <textarea id="note" rows="2" maxlength="500" value=${note} onInput=${(event) => setNote(event.target.value)}></textarea>
        <label class="check"><input type="checkbox" checked=${knownOnly} onChange=${() => setKnownOnly(!knownOnly)} />
          Only with projects that are known to mine</label>
        <button class="main" disabled=${chosen.length === 0}>Review</button>
        <button type="button" onClick=${close}>Cancel</button>
      </form>`}
  </${Dialog}>`;
}

function Shares({ shares, byProject, revoke }) {
  const key = byProject ? "project_id" : "image_id";
  const sorted = [...shares].sort((a, b) => (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0));
  return html`<div class="wide"><table>
    <caption>By ${byProject ? "project" : "image"}</caption>
    <thead><tr><th scope="col">Image</th><th scope="col">Project</th><th scope="col">Status</th>
      <th scope="col">Note</th><th scope="col">Since</th><th scope="col">Action</th></tr></thead>
    <tbody>${sorted.map((share) => html`<tr key=${share.image_id + share.project_id}>
      <th scope="row"><a href=${`#/image/${share.image_id}`}><${Text}>${share.image.name || share.image_id}</${Text}></a>
        ${!share.usable && html`<br /><span class="quiet">not shared at the moment</span>`}</th>
      <td><code>${share.project_id}</code></td>
      <td>${share.status}</td>
      <td>${share.note && html`<${Text}>${share.note}</${Text}>`}</td>
      <td><${Time} at=${share.offered_at} /></td>
      <td><button type="button" onClick=${() => revoke(share)}>Revoke</button></td></tr>`)}
    </tbody></table></div>`;
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
  const [sharing, setSharing] = useState(false);
  const [list, reload] = useLoaded(
    () => entries("/ext/v1/outgoing", "memberships", pages), `outgoing ${pages}`, fail);
  const revoke = useRevoke({ tell, fail, ask }, reload);
  return html`
    <h1 tabindex="-1">Shared by me</h1>
    <button class="main" type="button" onClick=${() => setSharing(true)}>Share images</button>
    <button type="button" onClick=${() => setByProject(!byProject)}>Order by ${byProject ? "image" : "project"}</button>
    ${list && list.memberships.length === 0 && html`<p>Your project shares no image. Choose "Share images", and name a project by its id: its people find it at the top of this page.</p>`}
    ${list && list.memberships.length > 0 && html`<${Shares} shares=${list.memberships} byProject=${byProject} revoke=${revoke} />`}
    ${list?.next && html`<button type="button" onClick=${() => setPages(pages + 1)}>Show more</button>`}
    ${sharing && html`<${ShareDialog} project=${project} tell=${tell} fail=${fail}
      close=${() => setSharing(false)} done=${reload} />`}`;
}

function ImagePage({ id, project, tell, fail, ask }) {
  const [sharing, setSharing] = useState(false);
  const [image, reload] = useLoaded(async () => {
    try {
      const shares = await call("GET", `/ext/v1/outgoing/${segment(id)}`);
      return { ...shares, own: true };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { ...(await call("GET", `/ext/v1/incoming/${segment(id)}`)), own: false };
    }
  }, id, fail);
  const revoke = useRevoke({ tell, fail, ask }, reload);
  if (!image) return html`<h1 tabindex="-1">Image</h1><p class="quiet">Nothing to show yet. An image that is neither yours nor shared with you is not here.</p>`;
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
    ${image.own && html`<h2>Members</h2>
      ${image.visibility !== "shared" && members.length > 0 && html`<p class="banner">
        The image is ${image.visibility}. If it becomes shared again, ${plural(members.length, "project")} below will see it again.</p>`}
      ${members.length === 0 ? html`<p>No project is a member of this image.</p>`
        : html`<${Shares} shares=${members} byProject=${true} revoke=${revoke} />`}
      ${image.visibility === "shared" && html`<button class="main" type="button" onClick=${() => setSharing(true)}>Share this image</button>`}
      ${sharing && html`<${ShareDialog} project=${project} preset=${id} tell=${tell} fail=${fail}
        close=${() => setSharing(false)} done=${reload} />`}`}`;
}

function Rules({ tell, fail }) {
  const [loaded, reload] = useLoaded(async () => {
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
  if (!loaded) return html`<h1 tabindex="-1">Rules and profile</h1>`;
  const profile = loaded.profile || {};
  return html`
    <h1 tabindex="-1">Rules and profile</h1>
    <h2>What happens to offers</h2>
    ${loaded.rules.length === 0 ? html`<p>There is no rule: every offer waits for your answer.</p>` : html`<table>
      <caption>The rule for * is that for every other producer</caption>
      <thead><tr><th scope="col">Producer</th><th scope="col">Offers</th><th scope="col">Action</th></tr></thead>
      <tbody>${loaded.rules.map((rule) => html`<tr key=${rule.producer_id}><th scope="row"><code>${rule.producer_id}</code></th>
        <td>${EFFECTS[rule.effect]}</td>
        <td><button type="button" onClick=${() => run("Rule removed.", "DELETE", `/ext/v1/rules/${segment(rule.producer_id)}`)}>Remove</button></td></tr>`)}
      </tbody></table>`}
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

const PAGES = [["incoming", "Shared with me"], ["outgoing", "Shared by me"], ["rules", "Rules and profile"]];

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
  const main = useRef();
  signedOut = (message) => {
    token = null;
    sessionStorage.removeItem("token");
    setSignedIn(false);
    setProject(null);
    setProblem(message);
    setNotice(null);
  };
  const signOut = () => {
    signedOut(null);
    if (!config.sign_in) return;
    noteSignOut();
    setNotice(`You are signed out here. ${issuerHost(config.sign_in)} will ask who you are when you sign in again.`);
  };
  const signIn = (text) => {
    token = text;
    sessionStorage.setItem("token", text);
    setProblem(null);
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
  const fail = (refused) => { setResult(null); setError(refused.message); };
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
  useEffect(() => {
    if (signedIn) call("GET", "/ext/v1").then((limits) => setProject(limits.project_id)).catch(fail);
  }, [signedIn]);
  if (!signedIn) {
    return html`<${SignIn} config=${config} message=${problem} notice=${notice} finishing=${finishing}
      signIn=${signIn} fail=${setProblem} />`;
  }
  const [, page = "incoming", detail] = route.split("/");
  const ask = (asked) => setQuestion({
    ...asked, act: () => { setQuestion(null); asked.act(); },
  });
  const common = { project, tell, fail, ask };
  return html`
    <header>
      <strong>Cloud Images</strong>
      <nav aria-label="Pages"><ul>${PAGES.map(([name, words]) => html`<li>
        <a href=${`#/${name}`} aria-current=${page === name ? "page" : null}>${words}</a></li>`)}</ul></nav>
      <div class="who"><span>Your project: <code>${project}</code></span>
        ${project && html`<${Copy} text=${project} label="Copy your project's id" />`}
        <button type="button" onClick=${signOut}>Sign out</button></div>
    </header>
    <main ref=${main}>
      <div role="status">${result && html`<p class="result">${result}</p>`}</div>
      <div role="alert">${error && html`<p class="error">${error}</p>`}</div>
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
