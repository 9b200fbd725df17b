"""Small faults, put into the package on purpose: a fault that no test notices shows what the tests do not check.

The results of random samples, without the faults that ``equivalent.toml`` lists (27 November 2026):

==========  =============  ========  ======================================
package     sample         survived  seeds
==========  =============  ========  ======================================
calls       28, 21, 21     2, 0, 0   2601, 2602, 2723
transport   29, 22, 17     4, 0, 0   2601, 2602, 2723
protocol    25, 25, 43     0, 0, 1   2601, 2602, 2723
polling     28, 20, 18     5, 0, 1   2601, 2602, 2723
fulfilment  46, 46, 15     6, 3, 0   2711, 2721, 2723
sql         22, 36         1, 1      2712, 2722
==========  =============  ========  ======================================

What survived a sample was tested or removed before the next one. On a busy machine the time for each sample ended
before all of its faults were tried.
"""
