// Answers GET /NAME with a greeting. Each request has an interpreter of its own: nothing is left of the one before.
import { greet } from './greeting.js';

addEventListener('fetch', (event) => event.respondWith(handle(event.request)));

async function handle(request) {
  const name = decodeURIComponent(new URL(request.url).pathname.slice(1));
  return new Response(`${greet(name)}\n`, { headers: { 'content-type': 'text/plain; charset=utf-8' } });
}
