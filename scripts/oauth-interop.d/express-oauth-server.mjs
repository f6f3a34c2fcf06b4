// A second OAuth 2 server that we did not write (@node-oauth/express-oauth-server, which rotates refresh
// tokens), on a free port of loopback, and beside it what a test needs: see oidc-provider.mjs. It has no
// endpoint for revocation, does not ask for PKCE, and ends nothing but the token that is used twice.
//
// Prints one line of JSON when it listens. Ends when its standard input does.
import { once } from 'node:events';
import OAuthServer from '@node-oauth/express-oauth-server';
import express from 'express';

const REDIRECT = 'https://software.example/callback';
const USER = { id: 'reception' };
const clients = ['interop', 'interop-body'].map((id) => ({
  id,
  secret: 'interop-secret',
  grants: ['authorization_code', 'refresh_token'],
  redirectUris: [REDIRECT],
}));
const codes = new Map();
const access = new Map();
const refresh = new Map();

// Where the server keeps what it issues: all of its model.
const model = {
  getClient: (id, secret) =>
    clients.find((client) => client.id === id && (secret == null || secret === client.secret)),
  saveAuthorizationCode: (code, client, user) => {
    const kept = { ...code, client, user };
    codes.set(code.authorizationCode, kept);
    return kept;
  },
  getAuthorizationCode: (code) => codes.get(code),
  revokeAuthorizationCode: ({ authorizationCode }) => codes.delete(authorizationCode),
  saveToken: (token, client, user) => {
    const kept = { ...token, client, user };
    access.set(token.accessToken, kept);
    refresh.set(token.refreshToken, kept);
    return kept;
  },
  getAccessToken: (token) => access.get(token),
  getRefreshToken: (token) => refresh.get(token),
  revokeToken: ({ refreshToken }) => refresh.delete(refreshToken),
  validateScope: (user, client, scope) => scope ?? [],
};

const app = express();
const oauth = new OAuthServer({ model });
app.use(express.urlencoded({ extended: false }));
app.get('/authorize', oauth.authorize({ authenticateHandler: { handle: () => USER } }));
app.post('/token', oauth.token());
app.get('/accounts', oauth.authenticate(), (_, response) => {
  const { user } = response.locals.oauth.token;
  response.json({ accounts: [{ accountId: user.id, name: 'Interop' }] });
});
// The user agrees to everything: the page is the redirect.
app.get('/browser', async (request, response) => {
  const answer = await fetch(request.query.page, { redirect: 'manual' });
  response.send(answer.headers.get('location'));
});

const listener = app.listen(0, '127.0.0.1');
await once(listener, 'listening');
const issuer = `http://127.0.0.1:${listener.address().port}`;
console.log(
  JSON.stringify({
    redirect_url: REDIRECT,
    browser: `${issuer}/browser`,
    ends_all_that_came_of_a_stolen_token: false,
    asks_for_pkce: false,
    endpoints: {
      authorization: `${issuer}/authorize`,
      get_token: `${issuer}/token`,
      refresh_token: `${issuer}/token`,
      get_accounts: `${issuer}/accounts`,
    },
  }),
);
process.stdin.resume().on('end', () => process.exit(0));
