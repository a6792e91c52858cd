// Keeps the page loading until `done()`: chromium writes the DOM once a page has loaded.
function holdUntil(done, number = 0) {
  if (done()) return;
  const image = new Image();
  image.onload = image.onerror = () => holdUntil(done, number + 1);
  image.src = `data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" id="i${number}"/>`;
}
