// The library's interface, as wit/world.wit has it.
import { greet } from './greeting.js';

export const greeting = { greet };
