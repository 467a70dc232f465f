// Whose page this is: the key that signed in first. All that the page keeps and does is theirs: its calls name the key, so
// that the service refuses them once the browser is signed in with another one, and another key begins with a new page.
let owner = null;

// False: the page is another one's.
export function isOwner(name) {
  if (name !== null) owner ??= name;
  return name === null || name === owner;
}

export const ownerHeader = () => (owner === null ? {} : { "X-Reco-Console-Key": owner });
