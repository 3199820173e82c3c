for (const element of document.querySelectorAll('[data-viewer]')) {
  element.viewer = new Viewer(element, JSON.parse(document.getElementById(`${element.dataset.viewer}-data`).textContent));
}
document.querySelectorAll('table.sorts').forEach(sortable);
