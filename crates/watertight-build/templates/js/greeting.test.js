import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greet } from './greeting.js';

test('someone is greeted by name', () => assert.equal(greet('Ada'), 'Hello, Ada!'));
test('everyone is greeted without one', () => assert.equal(greet(''), 'Hello, world!'));
