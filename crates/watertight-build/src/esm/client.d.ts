
/** How an app is reached. */
export interface ClientOptions {
  /** Where it is served: `https://shop.example`. In a browser, without it, the page's own server. */
  baseUrl?: string | URL;
  /** What sends requests, in the place of the global `fetch`. */
  fetch?: typeof globalThis.fetch;
  /** Headers of every request. */
  headers?: HeadersInit;
  /** Cuts calls off. */
  signal?: AbortSignal;
}

/** A call that did not return. Arguments that a function does not take are a `TypeError` instead. */
export declare class CallError<Payload = unknown> extends Error {
  constructor(kind: string, message: string, status: number, payload?: Payload);
  /** `error` where the function returned one, else how the call failed: `trap`, `deadline`, `queue-full`, … */
  readonly kind: string;
  /** The status of the answer. */
  readonly status: number;
  /** The error that the function returned. */
  readonly payload: Payload;
}

/** Makes a client of the app. */
export declare function createClient(options?: ClientOptions): Client;
