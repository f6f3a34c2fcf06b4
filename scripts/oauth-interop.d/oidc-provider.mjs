// An OAuth 2 server that we did not write (oidc-provider, certified OpenID Connect), on a free
// port of loopback, and beside it what a test needs:
//
//   GET /accounts        a service that asks for an access token, and has the server check it
//   GET /browser?page=   a user with a browser: opens the page, signs in, agrees, and answers
//                        with the URL that the browser is sent back to
//
// Prints one line of JSON when it listens. Ends when its standard input does.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { Provider } from 'oidc-provider';

const REDIRECT = 'https://software.example/callback';

// A free port is known only when something listens, and the server's name holds its port.
let handle = (_, response) => response.writeHead(503).end();
const listener = createServer((request, response) => handle(request, response));
listener.listen(0, '127.0.0.1');
await once(listener, 'listening');
const issuer = `http://127.0.0.1:${listener.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'interop',
      client_secret: 'interop-secret',
      redirect_uris: [REDIRECT],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'client_secret_basic',
    },
    {
      client_id: 'interop-body',
      client_secret: 'interop-secret',
      redirect_uris: [REDIRECT],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'client_secret_post',
    },
  ],
  features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, RefreshToken: 86400, Grant: 86400, Interaction: 600, Session: 600 },
  issueRefreshToken: async () => true,
  cookies: { keys: ['interop'] },
});
const serve = provider.callback();

handle = async (request, response) => {
  const url = new URL(request.url, issuer);
  const text = (status, body) => response.writeHead(status).end(body);
  try {
    if (url.pathname === '/accounts') {
      const token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
      const known = token && (await provider.AccessToken.find(token));
      if (!known || known.isExpired) return text(401, '{"error":"invalid_token"}');
      return text(200, JSON.stringify({ accounts: [{ accountId: known.accountId, name: 'Interop' }] }));
    }
    if (url.pathname === '/browser') {
      return text(200, await browse(url.searchParams.get('page')));
    }
    return serve(request, response);
  } catch (error) {
    console.error(error);
    return text(500, String(error));
  }
};

/** Follows redirects with cookies, and fills in the forms of the development pages. */
async function browse(page) {
  const cookies = new Map();
  let method = 'GET';
  let body;
  for (let step = 0; step < 20; step += 1) {
    const answer = await fetch(page, {
      method,
      body,
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      if (value) cookies.set(name, value);
      else cookies.delete(name);
    }
    const location = answer.headers.get('location');
    if (location) {
      page = new URL(location, page).href;
      if (!page.startsWith(issuer)) return page;
      [method, body] = ['GET', undefined];
      continue;
    }
    const html = await answer.text();
    const form = /<form[^>]*action="([^"]+)"/.exec(html);
    const prompt = /name="prompt" value="([^"]+)"/.exec(html);
    if (!form || !prompt) throw new Error(`${answer.status} at ${page}: ${html}`);
    page = new URL(form[1], page).href;
    method = 'POST';
    body = new URLSearchParams({ prompt: prompt[1], login: 'reception', password: 'x' });
  }
  throw new Error('the pages do not end');
}

console.log(
  JSON.stringify({
    redirect_url: REDIRECT,
    browser: `${issuer}/browser`,
    endpoints: {
      authorization: `${issuer}/auth`,
      get_token: `${issuer}/token`,
      refresh_token: `${issuer}/token`,
      revoke_token: `${issuer}/token/revocation`,
      get_accounts: `${issuer}/accounts`,
    },
  }),
);
process.stdin.resume().on('end', () => process.exit(0));
