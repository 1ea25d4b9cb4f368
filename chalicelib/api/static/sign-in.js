// The sign-in at an OpenID Connect issuer: the authorization code flow with PKCE (RFC 7636),
// as a public client. Only the access token outlives it; a refresh token is not kept.
const PENDING = "sign-in";
const ENDED = "signed-out";
const TELL = "Tell the operator of this service.";

class SignInError extends Error {}

export const issuerHost = ({ issuer }) => new URL(issuer).host;

const base64url = (bytes) => btoa(String.fromCharCode(...bytes))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const sha256 = async (text) => new Uint8Array(
  await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
const reason = (words) => `${words.replace(/\.$/, "")}.`;
const callbackUri = () => location.origin + location.pathname.replace(/\/$/, "");

async function ask(config, url, options) {
  const host = issuerHost(config);
  let response;
  try {
    response = await fetch(url, { ...options, credentials: "omit", headers: { Accept: "application/json" } });
  } catch {
    throw new SignInError(`${host} does not respond to this page. Check the connection and retry. If it goes on, ${host} has to allow the origin ${location.origin}: tell the operator of this service.`);
  }
  let document;
  try { document = await response.json(); } catch { document = null; }
  return { ok: response.ok, status: response.status, document: document || {} };
}

// The issuer's endpoints, by its metadata: the one that takes the code must be at its own origin.
async function discover(config) {
  const { issuer } = config;
  const host = issuerHost(config);
  const { ok, status, document } = await ask(
    config, `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (!ok) throw new SignInError(`${host} answered ${status} instead of its metadata. Retry later.`);
  const { authorization_endpoint: authorize, token_endpoint: token } = document;
  const safe = (url) => URL.canParse(url) && (/^https:/.test(url) || (/^http:/.test(url) && /^http:/.test(issuer)));
  if (document.issuer !== issuer || !safe(authorize) || !safe(token)) {
    throw new SignInError(`The metadata of ${host} is not that of the issuer ${issuer}. ${TELL}`);
  }
  if (new URL(token).origin !== new URL(issuer).origin) {
    throw new SignInError(`${host} issues tokens at another address, which this page may not call. ${TELL}`);
  }
  if (!(document.code_challenge_methods_supported || ["S256"]).includes("S256")) {
    throw new SignInError(`${host} does not support PKCE with S256. ${TELL}`);
  }
  return { authorize, token, namesItself: document.authorization_response_iss_parameter_supported === true };
}

// Leave for the issuer. Where the user signed out before, it has to ask who it is.
export async function beginSignIn(config) {
  if (!window.isSecureContext) {
    throw new SignInError("Signing in needs https. Open this page by its https address.");
  }
  const { authorize } = await discover(config);
  const pending = { state: random(), verifier: random(), hash: location.hash };
  const url = new URL(authorize);
  const parameters = {
    response_type: "code", client_id: config.client_id, redirect_uri: callbackUri(),
    scope: config.scope, audience: config.audience, state: pending.state,
    code_challenge: base64url(await sha256(pending.verifier)), code_challenge_method: "S256",
    ...(sessionStorage.getItem(ENDED) ? { prompt: "login" } : {}),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  location.assign(url);
}

export const hasReturned = () => /[?&](code|error)=/.test(location.search);

// Return the token of the code that the issuer came back with. Neither the code nor what
// it is exchanged with is used twice, and the page is the one that the user was on.
export async function finishSignIn(config) {
  const answer = new URLSearchParams(location.search);
  const pending = JSON.parse(sessionStorage.getItem(PENDING) || "null");
  sessionStorage.removeItem(PENDING);
  history.replaceState(null, "", location.pathname + (pending ? pending.hash : location.hash));
  if (!pending || answer.get("state") !== pending.state) {
    throw new SignInError("This sign-in was not started in this tab, or was used already. Sign in again.");
  }
  const host = issuerHost(config);
  const sender = answer.get("iss");
  if (answer.get("error") === "access_denied") {
    throw new SignInError(`${host} did not let you in: the sign-in was cancelled, or your account may not use this service.`);
  }
  if (answer.get("error")) {
    throw new SignInError(`${host} refused the sign-in: ${reason(answer.get("error_description") || answer.get("error"))}`);
  }
  const { token, namesItself } = await discover(config);
  if (sender === null ? namesItself : sender !== config.issuer) {
    throw new SignInError(`The answer is not from ${host}. Sign in again.`);
  }
  const { ok, document } = await ask(config, token, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code", code: answer.get("code"), redirect_uri: callbackUri(),
      client_id: config.client_id, code_verifier: pending.verifier,
    }),
  });
  if (document.error === "invalid_grant") {
    throw new SignInError("The sign-in took too long, or was used already. Sign in again.");
  }
  if (!ok) {
    throw new SignInError(`${host} refused the sign-in: ${reason(document.error_description || document.error || "no reason was given")} ${TELL}`);
  }
  const issued = document.access_token;
  if (String(document.token_type).toLowerCase() !== "bearer" || String(issued).split(".").length !== 3) {
    throw new SignInError(`The token of ${host} is not a JWT for this service. It may need another scope or audience. ${TELL}`);
  }
  sessionStorage.removeItem(ENDED);
  return issued;
}

// Have the issuer ask for the password at the next sign-in in this tab.
export function noteSignOut() {
  sessionStorage.setItem(ENDED, "yes");
}
