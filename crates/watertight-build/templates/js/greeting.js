// What the component does, apart from how it is called: this can be tested anywhere.
export function greet(name) {
  return `Hello, ${name || 'world'}!`;
}
