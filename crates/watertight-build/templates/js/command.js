// Greets who is named in its arguments.
import { getArguments } from 'wasi:cli/environment@{{wasi}}';
import { greet } from './greeting.js';

export const run = {
  run() {
    const names = getArguments().slice(1);
    for (const name of names.length > 0 ? names : ['']) {
      console.log(greet(name));
    }
  },
};
