// Does what a person does with keys and a mouse, and says of each whether the page did what it should.
'use strict';
(async () => {
  const R = document.documentElement, out = [];
  const frame = () => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
  const key = async (k, t = document.body) => { t.dispatchEvent(new KeyboardEvent('keydown', {key: k, bubbles: true, cancelable: true})); await frame(); };
  const $ = id => document.getElementById(id);
  const is = (name, a, b) => out.push((String(a) === String(b) ? 'ok ' : 'BAD ') + name + (String(a) === String(b) ? '' : `: ${a} instead of ${b}`));
  try {
  await frame(); await frame();
  await key('/'); is('slash focuses', document.activeElement.id, 'search');
  $('search').value = 'assert'; $('search').dispatchEvent(new Event('input', {bubbles: true})); await frame();
  is('hits', R.dataset.hits, 1); is('hash', location.hash, '#q=assert');
  await key('Enter', $('search')); is('first hit active', R.dataset.selected, 16); is('grid focused', document.activeElement.id, 'rows');
  await key('Enter', $('rows')); is('open', $('detail').dataset.id, 16); is('marked', document.querySelectorAll('#output .hit').length > 0, true);
  is('mark text', document.querySelector('#output mark').textContent, 'assert');
  await key('Escape'); is('closed', $('detail').hidden, true);
  await key('Escape'); is('search emptied', R.dataset.hits, 17); is('hash empty', location.hash, '');
  await key('Home'); is('section', document.querySelector('.active').dataset.section, 'services');
  await key('Enter', $('rows')); is('folded', R.dataset.rows, 19); await key('Enter', $('rows')); is('unfolded', R.dataset.rows, 21);
  await key('ArrowDown'); is('down', R.dataset.selected, 7); is('activedescendant', $('rows').getAttribute('aria-activedescendant'), 'row-1');
  await key('End'); is('end', R.dataset.selected, 1); await key('n'); is('failure', R.dataset.selected, 15+1);
  await key('z'); is('zoomed', location.hash.startsWith('#v='), true); const h1 = location.hash; await key('ArrowLeft'); is('moved', location.hash !== h1, true);
  await key('0'); is('whole', location.hash, ''); await key('+'); is('fit enabled', $('fit').disabled, false); await key('-'); is('out again', location.hash, '');
  await key('c'); is('critical off', document.querySelectorAll('.crit,.path,path.critical').length, 0); is('c in hash', location.hash, '#critical=0'); await key('c'); is('critical on', document.querySelectorAll('.crit').length, 5);
  document.querySelector('[data-failed]').click(); await frame(); is('failure opens', $('detail').dataset.id, 16);
  is('waits listed', document.querySelectorAll('[data-list=waits] [data-link]').length, 3); is('arrows', document.querySelectorAll('path[data-wait].waited').length, 3); is('awaited', document.querySelectorAll('path[data-wait].awaited').length, 1);
  document.querySelector('[data-list=waits] button').click(); await frame(); is('link followed', $('detail').dataset.id !== '16', true);
  $('close').click(); await frame(); is('close', $('detail').hidden, true);
  document.querySelector('[data-count=cached]').click(); await frame(); is('chip', R.dataset.hits, 4); is('pressed', document.querySelector('[data-count=cached]').getAttribute('aria-pressed'), 'true');
  document.querySelector('[data-count=cached]').click(); await frame(); is('chip off', R.dataset.hits, 17);
  $('theme').click(); await frame(); is('light', R.dataset.theme, 'light'); $('theme').click(); await frame(); is('dark', R.dataset.theme, 'dark'); $('theme').click(); await frame(); is('auto', R.dataset.theme, undefined);
  await key('?'); is('help', $('help').open, true); $('help').close();
  location.hash = '#q=lint&s=10'; await frame(); await frame(); is('hash drives', R.dataset.hits + ' ' + $('detail').dataset.id, '1 10');
  // hidden row revealed
  location.hash = '#q=lint'; await frame(); await frame(); document.querySelector('[data-failed]').click(); await frame(); is('revealed', R.dataset.hits + $('detail').dataset.id, '1716');
  // drag on axis
  const ax = $('axis').getBoundingClientRect(); const pe = (t, x, ty) => t.dispatchEvent(new PointerEvent(ty, {bubbles: true, clientX: x, clientY: t.getBoundingClientRect().top + 5, button: 0, pointerId: 1}));
  HTMLElement.prototype.setPointerCapture = () => {};
  pe($('axis'), ax.left + 50, 'pointerdown'); pe($('axis'), ax.left + 150, 'pointermove'); pe($('axis'), ax.left + 150, 'pointerup'); await frame(); is('drag zooms', location.hash.includes('v='), true);
  await key('0');
  const lane = document.querySelector('.row[data-id="16"] .lane'); pe(lane, ax.left + 100, 'pointermove'); await frame(); is('tip', $('tip').hidden + $('tip').querySelector('b').textContent, 'falseintegration');
  $('rows').dispatchEvent(new PointerEvent('pointerleave')); is('tip gone', $('tip').hidden, true);
  pe($('grip'), ax.left, 'pointerdown'); pe($('grip'), ax.left + 60, 'pointermove'); pe($('grip'), ax.left + 60, 'pointerup'); await frame(); is('grip', Math.round($('axis').getBoundingClientRect().left - ax.left) > 40, true);
  } catch (e) { out.push('BAD ' + e.stack); }
  is('errors', R.dataset.errors, 0);
  R.dataset.outcomes = out.join('|');
})();
