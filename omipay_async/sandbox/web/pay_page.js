// Somebody may have paid or declined on a phone: the page of a final order leads on, or says what became of it.
const page = document.querySelector("main");
const timer = setInterval(async () => {
  const state = await (await fetch(page.dataset.state)).json();
  if (!state.is_final) return;
  clearInterval(timer);  // or a shop that takes longer than this to answer is asked again each time
  location.reload();
}, 2000);
