"""Small faults, put into the package on purpose: a fault that no test notices shows what the tests do not check.

The results of random samples, without the faults that ``equivalent.toml`` lists (27 November 2026):

==========  ==================  =============  ============================
package     sample              survived       seeds
==========  ==================  =============  ============================
calls       28, 21, 21, 60      2, 0, 0, 2     2601, 2602, 2723, 3107
transport   29, 22, 17, 60, 44  4, 0, 0, 3, 1  2601, 2602, 2723, 3101, 3111
protocol    25, 25, 43, 84, 51  0, 0, 1, 5, 0  2601, 2602, 2723, 3102, 3112
polling     28, 20, 18, 77      5, 0, 1, 1     2601, 2602, 2723, 3106
fulfilment  46, 46, 15, 21, 87  6, 3, 0, 2, 3  2711, 2721, 2723, 3104, 3114
sql         22, 36, 30, 65      1, 1, 2, 2     2712, 2722, 3105, 3115
==========  ==================  =============  ============================

The samples 3101, 3102 and 3111 are of some files: those that were new.

What survived a sample was tested or removed before the next one. On a busy machine the time for each sample ended
before all of its faults were tried.
"""
