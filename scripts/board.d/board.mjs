// The board and the sign-in page, worked as a person would.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [base, executablePath, pictures] = process.argv.slice(2);
if (pictures) mkdirSync(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
const context = await browser.newContext({ viewport: { width: 1366, height: 768 } });
const page = await context.newPage();
const troubles = [];
const expected = /status of (400|403|409)/;
page.on("console", (message) => {
  if (message.type() === "error" && !expected.test(message.text())) troubles.push(message.text());
});
page.on("pageerror", (error) => troubles.push(error.message));
page.on("request", (request) => {
  const url = new URL(request.url());
  if (url.origin !== base && !["lab.example", "localhost"].includes(url.hostname)) troubles.push(`asked ${url.origin}`);
});

async function picture(name) {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` });
}
const control = async (path, options) => {
  const answer = await context.request.fetch(`${base}/_simulator${path}`, options);
  return answer.json();
};
const column = (title) => page.locator(`section.column[aria-label="${title}"]`);
const card = (order) => page.locator(`article[data-order="${order}"]`);
const act = (order, label) => card(order).getByRole("button", { name: label, exact: true }).click();

// Signing in: declined, then agreed to.
const query = "response_type=code&client_id=simulator&redirect_uri=https://lab.example/callback&state=s%3C%22%3E";
await context.route("https://lab.example/**", (route) =>
  route.fulfill({ contentType: "text/html", body: "<title>the lab's software</title>" }));
for (const [button, answer] of [["Decline", "error"], ["Sign in and agree", "code"]]) {
  await page.goto(`${base}/oauth/authorize?${query}`);
  await page.getByText("The application simulator asks").waitFor();
  if (answer === "code") await picture("sign-in");
  await page.getByRole("button", { name: button }).click();
  await page.waitForURL("https://lab.example/callback**");
  const back = new URL(page.url()).searchParams;
  assert.equal(back.get("state"), 's<">');
  assert.ok(back.get(answer), page.url());
}
await page.goto(`${base}/oauth/authorize?client_id=%3Cb%3E`);
await page.getByText("This request cannot be answered").waitFor();

// What a page from elsewhere sends is refused.
await context.route("http://localhost:9/**", (route) => route.fulfill({
  contentType: "text/html",
  body: `<form method="post" action="${base}/_simulator/reset"><button>Win a prize</button></form>`,
}));
await page.goto("http://localhost:9/");
await page.getByRole("button", { name: "Win a prize" }).click();
await page.getByText("a page of another site must not act here").waitFor();
assert.ok((await control("/cases")).cases.length >= 24, "another site has reset the simulator");

// The board.
await page.goto(base);
assert.equal(await page.title(), "Lab Connector simulator");
assert.ok((await page.locator("article.case").count()) >= 24);
await picture("board");

// A new case, through every column to its end.
await page.getByRole("button", { name: "New scan" }).click();
const { cases } = await control("/cases?phase=at_lab&limit=1000");
const order = cases.at(-1).orderId;
await column("Ready for download").locator(`article[data-order="${order}"]`).waitFor();
const steps = [
  ["Request milling", "In modeling"],
  ["Finish modeling", "In review"],
  ["Interpretation 2", "In milling"],
  ["Back to review", "In review"],
  ["Proceed", "In milling"],
  ["Finish milling", "Shipping"],
];
for (const [label, title] of steps) {
  await act(order, label);
  await column(title).locator(`article[data-order="${order}"]`).waitFor();
}
await card(order).getByRole("link", { name: order }).click();
await page.locator("section.panel", { hasText: `Case ${order}` }).waitFor();
await picture("case");

// Buttons are what is possible now, and nothing else.
for (const shown of (await control("/cases?limit=1000")).cases) {
  const names = await card(shown.orderId).locator("button[name=action]").evaluateAll(
    (buttons) => buttons.map((button) => button.value));
  assert.deepEqual(names, shown.actions, shown.orderId);
}

// The page follows what happens elsewhere, without being loaded again.
await page.evaluate(() => { window.same = true; });
await control(`/cases/${order}/ship`, { method: "POST" });
await card(order).getByText("finished").waitFor();
assert.equal(await page.evaluate(() => window.same), true, "the page was loaded again");

// An action that came too late is refused, with the reason.
await page.evaluate((order) => {
  const [form] = document.querySelectorAll(`article[data-order="${order}"] form`);
  form.querySelector("button").value = "proceed";
}, order);
await card(order).locator("button").first().click();
await page.getByRole("alert").filter({ hasText: "cannot proceed to milling: the case is in" }).waitFor();
await picture("refused");

// Time, and the log of calls.
await page.goto(base);
const before = (await control("/clock")).now;
await page.getByRole("button", { name: "+1 day" }).click();
await page.waitForLoadState();
const passed = new Date((await control("/clock")).now) - new Date(before);
assert.ok(passed >= 86_400_000 && passed < 86_460_000, `${passed}`);
await context.request.get(`${base}/accounts`);
await page.locator("section[aria-label='API calls'] tr", { hasText: "Get Accounts" }).getByText("401").first().waitFor();
await picture("calls");

// Without its script it works as well.
const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
await plain.goto(base);
const count = await plain.locator("article.case").count();
await plain.getByRole("button", { name: "New scan" }).click();
assert.equal(await plain.locator("article.case").count(), count + 1);

assert.deepEqual(troubles, []);
await browser.close();
console.log(`Chromium worked the board: ${steps.length + 3} actions, 2 sign-ins`);
